import Bytes
import Kernels
import Testing

/// Changes rounded onto a grid, against plain code here, to the last bit, for whichever variant is active.
enum GridRunChecks {
    static func run() {
        for block in [32, 64, 4096] {
            for (start, count) in [(0, 1), (1, 1), (0, 16), (3, 15), (5, 17), (0, 64), (31, 100), (64, 333), (1, 4999)]
            {
                check(block: block, start: start, count: count)
            }
        }
        unusableScales()
    }

    static func check(block: Int, start: Int, count: Int) {
        let x = QuantizationChecks.weights(start + count + 7, seed: UInt64(block + count)).map { $0 == 0 ? 0.5 : $0 }
        let (codes, absmax) = QuantizationChecks.quantize(x, block: block)
        let held = HeldView(codes: codes, blockSize: block, absmax: absmax)
        defer { withExtendedLifetime(held) {} }
        var generator = SeededGenerator(seed: 12)
        let delta = generator.floats(count, in: -0.05...0.05)
        let map = NF4Kernel.map
        let run = GridRun(map: map, capacity: count)!
        run.prepare(held.view, elements: start..<start + count, unit: 4, delta: delta)
        #expect(run.count == count)
        for amplification in [Float(1), 1.7, 9, 400] {
            var products = [Float](repeating: 0, count: 16)
            var squares = products
            var expected: [UInt8] = []
            for index in 0..<count {
                let element = start + index
                let old = Int(element % 2 == 0 ? codes[element / 2] >> 4 : codes[element / 2] & 15)
                let scale = absmax[element / block]
                let isUsable = scale >= 0x1p-100
                let step = isUsable ? delta[index] * (1 / scale) : 0
                let aim = map[old] + step * amplification
                let code = (0..<15).count { aim > (map[$0] + map[$0 + 1]) / 2 }
                expected.append(UInt8(code))
                let change = (map[code] - map[old]) * (isUsable ? scale * 4 : 0)
                products[index % 16] += change * (delta[index] * 4)
                squares[index % 16] += change * change
            }
            var result = [UInt8](repeating: 99, count: count + 1)
            run.encode(amplification: amplification, into: &result)
            #expect(result == expected + [99], "block \(block), start \(start), count \(count)")
            let sums = run.measure(amplification: amplification)
            #expect(sums.product == products.reduce(0) { $0 + Double($1) })
            #expect(sums.squared == squares.reduce(0) { $0 + Double($1) })
        }
    }

    /// Nothing moves in a block without a scale.
    static func unusableScales() {
        for scale in [Float(0), 1e-40, .infinity, .nan] {
            let codes: [UInt8] = Array(repeating: 0x3c, count: 32)
            let held = HeldView(codes: codes, blockSize: 64, absmax: [scale])
            defer { withExtendedLifetime(held) {} }
            let run = GridRun(map: NF4Kernel.map, capacity: 64)!
            run.prepare(held.view, elements: 0..<64, unit: 1, delta: [Float](repeating: 1, count: 64))
            #expect(run.measure(amplification: 5) == (0, 0))
            var result = [UInt8](repeating: 0, count: 64)
            run.encode(amplification: 5, into: &result)
            #expect(result == (0..<64).map { $0 % 2 == 0 ? 3 : 12 })
        }
        var levels = NF4Kernel.map
        levels[5] = levels[4]
        #expect(GridRun(map: levels, capacity: 1) == nil)
    }
}

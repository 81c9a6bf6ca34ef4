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
        for isDouble in [false, true] {
            for (block, count) in [(32, 100), (64, 64), (64, 1000), (4096, 9000)] {
                outgrown(block: block, count: count, isDouble: isDouble)
            }
        }
        packing()
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

    /// Blocks that outgrow their scales, against plain code here; the sums of squares are compared in double there.
    static func outgrown(block: Int, count: Int, isDouble: Bool) {
        let x = QuantizationChecks.weights(count, seed: UInt64(block + count))
        let blocks = (count + block - 1) / block
        let codes = QuantizationChecks.quantize(x, block: block).codes
        var generator = SeededGenerator(seed: 13)
        let scaleCodes: [UInt8] = (0..<blocks).map { _ in UInt8.random(in: 90...250, using: &generator) }
        let nested: [Float] = (0...blocks / 4).map { Float($0 + 1) / 40 }
        func possible(_ index: Int) -> [Float] { Dynamic8Kernel.map.map { $0 * nested[index / 4] + 0.1 } }
        let drawn = generator.floats(blocks, in: 0.5...1)
        let scales: [Float] = (0..<blocks).map { isDouble ? possible($0)[Int(scaleCodes[$0])] : drawn[$0] }
        let held =
            isDouble
            ? HeldView(
                codes: codes, blockSize: block, scaleCodes: scaleCodes, nestedAbsmax: nested, nestedBlockSize: 4,
                offset: 0.1) : HeldView(codes: codes, blockSize: block, absmax: scales)
        defer { withExtendedLifetime(held) {} }
        let old: [UInt8] = (0..<count).map { $0 % 2 == 0 ? codes[$0 / 2] >> 4 : codes[$0 / 2] & 15 }
        let changes = generator.floats(count, in: -0.6...0.6)
        var expected = old
        var expectedScales = scales
        for index in 0..<blocks {
            let range = index * block..<min((index + 1) * block, count)
            let fitted = fit(
                Array(old[range]), changes: Array(changes[range]), scale: scales[index],
                among: isDouble ? possible(index) : nil)
            guard let fitted else { continue }
            expected.replaceSubrange(range, with: fitted.codes)
            expectedScales[index] = fitted.scale
        }
        #expect(expectedScales != scales)
        let run = GridRun(map: NF4Kernel.map, capacity: 1)!
        var result = old
        var found = scales
        if isDouble {
            var stored = scaleCodes
            run.fit(held.view, elements: 0..<count, changes: changes, codes: &result, scales: &stored)
            found = (0..<blocks).map { possible($0)[Int(stored[$0])] }
        } else {
            run.fit(held.view, elements: 0..<count, changes: changes, codes: &result, scales: &found)
        }
        #expect(found == expectedScales)
        #expect(result == expected)
    }

    /// The rule, plainly; nil for a block that stays.
    static func fit(
        _ old: [UInt8], changes: [Float], scale: Float, among possible: [Float]?
    ) -> (codes: [UInt8], scale: Float)? {
        let map = NF4Kernel.map
        let target: [Float] = zip(old, changes).map { code, change in map[Int(code)] * scale + change }
        let largest: Float = target.map(\.magnitude).max() ?? 0
        guard largest > scale * 1.0625 else { return nil }
        var wanted = largest
        if let possible, let nearest = possible.min(by: { ($0 - largest).magnitude < ($1 - largest).magnitude }) {
            wanted = nearest
        }
        guard wanted != scale else { return nil }
        let reciprocal: Float = 1 / wanted
        let codes: [UInt8] = target.map { value in
            let scaled: Float = value * reciprocal
            return UInt8((0..<15).count { (k: Int) -> Bool in scaled > (map[k] + map[k + 1]) / 2 })
        }
        func error(_ codes: [UInt8], _ scale: Float) -> Double {
            var sum = 0.0
            for (code, value) in zip(codes, target) {
                let difference = Double(map[Int(code)] * scale) - Double(value)
                sum += difference * difference
            }
            return sum
        }
        return error(codes, wanted) < error(old, scale) ? (codes, wanted) : nil
    }

    static func packing() {
        for count in [1, 2, 31, 64, 1001] {
            let codes = (0..<count).map { UInt8($0 * 7 % 16) }
            var packed = [UInt8](repeating: 99, count: (count + 1) / 2 + 1)
            GridRun.pack(codes, count: count, into: &packed)
            let padded = codes + [7]
            #expect(packed == (0..<(count + 1) / 2).map { padded[2 * $0] << 4 | padded[2 * $0 + 1] } + [99])
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

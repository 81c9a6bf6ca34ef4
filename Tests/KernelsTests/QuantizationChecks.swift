import Bytes
import Kernels
import Tensors
import Testing

/// NF4 and the 8-bit map against plain code here, for whichever variant is active.
enum QuantizationChecks {
    static func run() {
        roundTrips()
        everyBfloat16()
        everyRange()
        products()
        notFinite()
        eightBitProducts()
    }

    /// A quantized weight made by plain loops: the rule as the paper and bitsandbytes state it.
    struct Plain {
        var codes: [UInt8]
        var absmax: [Float]
        var values: [Float]

        init(_ x: [Float], block: Int) {
            let map = NF4Kernel.map
            var nibbles: [UInt8] = []
            absmax = []
            values = []
            for start in stride(from: 0, to: x.count, by: block) {
                let piece = x[start..<min(start + block, x.count)]
                let largest = piece.map(\.magnitude).max()!
                let divisor = max(largest, 1e-38)
                absmax.append(piece.count == block ? largest : divisor)
                for value in piece {
                    let scaled = piece.count == block ? value * (1 / divisor) : value / divisor
                    let code = (0..<15).filter { scaled > (map[$0] + map[$0 + 1]) / 2 }.count
                    nibbles.append(UInt8(code))
                    values.append(map[code] * absmax.last!)
                }
            }
            if nibbles.count % 2 == 1 { nibbles.append(7) }
            codes = stride(from: 0, to: nibbles.count, by: 2).map { nibbles[$0] << 4 | nibbles[$0 + 1] }
        }
    }

    static func weights(_ count: Int, seed: UInt64) -> [Float] {
        var generator = SeededGenerator(seed: seed)
        var x = generator.floats(count)
        for index in x.indices where index % 37 == 5 { x[index] *= 1e-3 }
        for index in x.indices where (index / 64) % 9 == 4 { x[index] = 0 }
        for index in x.indices where (index / 64) % 9 == 7 { x[index] *= 1e-38 }
        return x
    }

    static func quantize(_ x: [Float], block: Int) -> (codes: [UInt8], absmax: [Float]) {
        var codes = [UInt8](repeating: 0xee, count: (x.count + 1) / 2)
        var absmax = [Float](repeating: -1, count: (x.count + block - 1) / block)
        let bad = NF4Kernel.quantize(x, type: .f32, count: x.count, blockSize: block, codes: &codes, absmax: &absmax)
        #expect(bad == nil)
        return (codes, absmax)
    }

    static func roundTrips() {
        for block in [2, 6, 32, 64, 128, 4096] {
            for count in [1, 2, 31, 64, 65, 127, 1000, 8192, 8193] {
                let x = weights(count, seed: UInt64(block * 10_000 + count))
                let plain = Plain(x, block: block)
                let (codes, absmax) = quantize(x, block: block)
                #expect(codes == plain.codes, "block \(block), count \(count)")
                #expect(absmax.map(\.bitPattern) == plain.absmax.map(\.bitPattern))
                var values = [Float](repeating: 9, count: count)
                let held = HeldView(codes: codes, blockSize: block, absmax: absmax)
                defer { withExtendedLifetime(held) {} }
                let view = held.view
                view.dequantize(elements: 0..<count, as: .f32, into: &values)
                #expect(values.map(\.bitPattern) == plain.values.map(\.bitPattern))
            }
        }
    }

    /// Blocks of bfloat16 with every mantissa of absmax, and of every distance from it at which codes still change; and with
    /// exponents at the ends of the range.
    static func everyBfloat16() {
        var words: [UInt16] = []
        for (exponent, mantissas) in [
            (120, Array(0..<128)), (0, [1, 127]), (1, [0, 77]), (26, [5]), (27, [0, 126]), (226, [127]), (227, [0]),
            (254, [0, 127]),
        ] {
            for mantissa in mantissas {
                let largest = exponent << 7 | mantissa
                for sign in [0, 0x8000] {
                    for first in stride(from: 0, to: 1100, by: 63) {
                        words.append(UInt16(largest | (sign ^ (first % 2) << 15)))
                        words += (first..<first + 63).map { UInt16(max(largest - $0, 0) | sign) }
                    }
                }
            }
        }
        let plain = Plain(words.map { Float(bitPattern: UInt32($0) << 16) }, block: 64)
        var codes = [UInt8](repeating: 0xee, count: words.count / 2)
        var absmax = [Float](repeating: -1, count: words.count / 64)
        func quantize() -> Int? {
            NF4Kernel.quantize(
                words, type: .bf16, count: words.count, blockSize: 64, codes: &codes, absmax: &absmax)
        }
        #expect(quantize() == nil)
        #expect(codes == plain.codes && absmax.map(\.bitPattern) == plain.absmax.map(\.bitPattern))
        for bad: UInt16 in [0x7f80, 0xff80, 0x7fc0] {
            let place = 64 * 9 + 40
            (words[place], words[place + 64]) = (bad, bad)
            #expect(quantize() == place)
        }
    }

    /// Any range of elements, odd starts included, gives what the whole gives; nothing is written beyond it.
    static func everyRange() {
        let count = 301
        let x = weights(count, seed: 3)
        let plain = Plain(x, block: 32)
        let held = HeldView(codes: plain.codes, blockSize: 32, absmax: plain.absmax)
        defer { withExtendedLifetime(held) {} }
        let view = held.view
        for start in stride(from: 0, to: count, by: 7) {
            for end in [start, start + 1, min(start + 30, count), min(start + 99, count), count] where end <= count {
                var values = [Float](repeating: 77, count: end - start + 1)
                view.dequantize(elements: start..<end, as: .f32, into: &values)
                #expect(values == Array(plain.values[start..<end]) + [77])
            }
        }
    }

    /// Row products against double precision, over shapes that take the fast path and shapes that do not.
    static func products() {
        for (rows, columns, block) in [
            (3, 32, 32), (5, 64, 64), (4, 96, 32), (4, 96, 64), (3, 192, 64), (3, 160, 32), (2, 4096, 4096),
            (7, 4224, 128), (3, 8192, 64), (2, 10_240, 512), (6, 77, 64), (1, 1, 64), (9, 33, 32), (3, 5000, 64),
            (2, 4160, 64), (2, 4128, 32),
        ] {
            let count = rows * columns
            let x = weights(count, seed: UInt64(count))
            let (codes, absmax) = quantize(x, block: block)
            let values = Plain(x, block: block).values
            var generator = SeededGenerator(seed: 5)
            let vector = generator.floats(columns)
            let held = HeldView(codes: codes, blockSize: block, absmax: absmax)
            defer { withExtendedLifetime(held) {} }
            let view = held.view
            var result = [Float](repeating: .nan, count: rows)
            view.multiply(columns: columns, rows: 0..<rows, x: vector, into: &result)
            for row in 0..<rows {
                var exact = 0.0
                var magnitude = 0.0
                for column in 0..<columns {
                    let term = Double(values[row * columns + column]) * Double(vector[column])
                    exact += term
                    magnitude += term.magnitude
                }
                #expect(
                    (Double(result[row]) - exact).magnitude <= 2e-7 * magnitude + 1e-38,
                    "\(rows) x \(columns), block \(block), row \(row)")
            }
            // The same row alone, whatever the range that it is asked for in.
            for row in 0..<rows {
                var alone: Float = .nan
                view.multiply(columns: columns, rows: row..<row + 1, x: vector, into: &alone)
                #expect(alone == result[row])
            }
        }
    }

    static func notFinite() {
        for bad in [Float.nan, .infinity, -.infinity, .signalingNaN] {
            for index in [0, 5, 63, 64, 130, 199] {
                var x = weights(200, seed: 9)
                x[index] = bad
                if index < 190 { x[index + 3] = .nan }
                var codes = [UInt8](repeating: 0, count: 100)
                var absmax = [Float](repeating: 0, count: 4)
                #expect(
                    NF4Kernel.quantize(x, type: .f32, count: 200, blockSize: 64, codes: &codes, absmax: &absmax)
                        == index)
                var codes8 = [UInt8](repeating: 0, count: 200)
                #expect(
                    Dynamic8Kernel.quantize(
                        x, type: .f32, count: 200, blockSize: 64, rule: .bitsandbytesCPU, codes: &codes8,
                        absmax: &absmax) == index)
            }
        }
    }

    static func eightBitProducts() {
        for (rows, columns, block) in [(3, 64, 64), (2, 1500, 256), (5, 77, 64), (1, 4096, 4096)] {
            let x = weights(rows * columns, seed: 11)
            var codes = [UInt8](repeating: 0, count: x.count)
            var absmax = [Float](repeating: 0, count: (x.count + block - 1) / block)
            #expect(
                Dynamic8Kernel.quantize(
                    x, type: .f32, count: x.count, blockSize: block, rule: .exactNearest, codes: &codes,
                    absmax: &absmax) == nil)
            let values = codes.enumerated().map { Dynamic8Kernel.map[Int($1)] * absmax[$0 / block] }
            var generator = SeededGenerator(seed: 6)
            let vector = generator.floats(columns)
            var result = [Float](repeating: .nan, count: rows)
            Dynamic8Kernel.multiply(
                codes: codes, absmax: absmax, map: Dynamic8Kernel.map, blockSize: block, columns: columns,
                rows: 0..<rows, x: vector, into: &result)
            for row in 0..<rows {
                let terms = (0..<columns).map { Double(values[row * columns + $0]) * Double(vector[$0]) }
                let exact = terms.reduce(0, +)
                let magnitude = terms.reduce(0) { $0 + $1.magnitude }
                #expect((Double(result[row]) - exact).magnitude <= 2e-7 * magnitude)
            }
        }
    }
}

/// A view and the memory that it points into.
final class HeldView {
    private let regions: [ByteRegion]
    let view: NF4View

    init(codes: [UInt8], blockSize: Int, absmax: [Float]) {
        let parts = [codes.withUnsafeBytes { ByteRegion(copying: $0) }] + Self.copied([absmax, NF4Kernel.map])
        regions = parts
        view = NF4View(
            codes: Self.bytes(parts[0]), map: Self.floats(parts[2]), blockSize: blockSize, absmax: parts[1].baseAddress)
    }

    /// With double-quantized scales.
    init(
        codes: [UInt8], blockSize: Int, scaleCodes: [UInt8], nestedAbsmax: [Float], nestedBlockSize: Int, offset: Float
    ) {
        let parts =
            [ByteRegion(copying: codes), ByteRegion(copying: scaleCodes)]
            + Self.copied([nestedAbsmax, NF4Kernel.map, Dynamic8Kernel.map])
        regions = parts
        view = NF4View(
            codes: Self.bytes(parts[0]), map: Self.floats(parts[3]), blockSize: blockSize,
            scaleCodes: Self.bytes(parts[1]), nestedAbsmax: parts[2].baseAddress, nestedMap: Self.floats(parts[4]),
            nestedBlockSize: nestedBlockSize, offset: offset)
    }

    private static func copied(_ arrays: [[Float]]) -> [ByteRegion] {
        arrays.map { $0.withUnsafeBytes { ByteRegion(copying: $0) } }
    }

    private static func bytes(_ region: ByteRegion) -> UnsafePointer<UInt8> {
        region.baseAddress.assumingMemoryBound(to: UInt8.self)
    }

    private static func floats(_ region: ByteRegion) -> UnsafePointer<Float> {
        region.baseAddress.assumingMemoryBound(to: Float.self)
    }
}

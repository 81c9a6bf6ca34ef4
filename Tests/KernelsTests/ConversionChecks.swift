import Kernels
import Tensors
import Testing

/// Conversions against Swift's own, for whichever variant is active.
enum ConversionChecks {
    static func run() {
        everyHalf()
        everyBFloat()
        narrowing()
        doubles()
    }

    static func widen(_ bits: [UInt16], as type: ElementType) -> [Float] {
        [Float](unsafeUninitializedCapacity: bits.count) { buffer, count in
            bits.withUnsafeBytes {
                FloatConversion.widen($0.baseAddress!, type: type, count: bits.count, into: buffer.baseAddress!)
            }
            count = bits.count
        }
    }

    static func narrow(_ values: [Float], to type: ElementType) -> [UInt16] {
        [UInt16](unsafeUninitializedCapacity: values.count) { buffer, count in
            FloatConversion.narrow(values, count: values.count, to: type, into: buffer.baseAddress!)
            count = values.count
        }
    }

    static func everyHalf() {
        let bits = (0...UInt16.max).map { $0 }
        let values = widen(bits, as: .f16)
        for (half, value) in zip(bits, values) {
            let exact = Float(Float16(bitPattern: half))
            #expect(value.bitPattern == exact.bitPattern || value.isNaN && exact.isNaN && !value.isSignalingNaN)
        }
        // Widening loses nothing: narrowing gives the same bits back, but that a NaN comes back quiet.
        for (half, back) in zip(bits, narrow(values, to: .f16)) {
            #expect(back == half || Float16(bitPattern: half).isNaN && back == half | 0x0200)
        }
    }

    static func everyBFloat() {
        let bits = (0...UInt16.max).map { $0 }
        let values = widen(bits, as: .bf16)
        for (raw, value) in zip(bits, values) { #expect(value.bitPattern == UInt32(raw) << 16) }
        for (raw, value, back) in zip3(bits, values, narrow(values, to: .bf16)) {
            #expect(back == raw || value.isNaN && back == raw | 0x0040)
        }
    }

    /// Random bit patterns, ties between neighbours, the edges of the ranges, and every length up to 40.
    static func narrowing() {
        var generator = SeededGenerator(seed: 1)
        var values = (0..<20_000).map { _ in Float(bitPattern: UInt32.random(in: 0...UInt32.max, using: &generator)) }
        values += (0..<4_000).map { _ in
            Float(bitPattern: (UInt32.random(in: 0...0xffff, using: &generator) << 16) | 0x8000)
        }
        values += [65504, 65519.996, 65520, 65536, 5.9604645e-08, 2.9802322e-08, 2.9802326e-08, 6.1e-05, 6.104e-05]
        values += [.infinity, -.infinity, .nan, 0, -0.0, .leastNonzeroMagnitude, .greatestFiniteMagnitude]
        for (value, half, bfloat) in zip3(values, narrow(values, to: .f16), narrow(values, to: .bf16)) {
            let exact = Float16(value)
            #expect(half == exact.bitPattern || value.isNaN && Float16(bitPattern: half).isNaN)
            #expect(bfloat == nearestBFloat(value), "\(value)")
        }
        for length in 0...40 {
            let some = Array(values[100..<100 + length])
            #expect(
                narrow(some, to: .f16)
                    == some.map { Float16($0).isNaN ? narrow([$0], to: .f16)[0] : Float16($0).bitPattern })
            #expect(narrow(some, to: .bf16) == some.map(nearestBFloat))
        }
    }

    /// By search: the nearer of the two neighbours, the even one on a tie.
    static func nearestBFloat(_ value: Float) -> UInt16 {
        let low = UInt16(value.bitPattern >> 16)
        guard !value.isNaN else { return low | 0x0040 }
        guard value.isFinite else { return low }
        let remainder = value.bitPattern & 0xffff
        let up = remainder > 0x8000 || remainder == 0x8000 && low & 1 == 1
        return up ? low + 1 : low
    }

    static func doubles() {
        var generator = SeededGenerator(seed: 2)
        let values =
            (0..<999).map { _ in Double.random(in: -1e30...1e30, using: &generator) } + [
                1e300, .infinity, Double.leastNonzeroMagnitude,
            ]
        // One byte off, as in a file.
        var bytes: [UInt8] = [0]
        for value in values { withUnsafeBytes(of: value) { bytes += $0 } }
        var result = [Float](repeating: 0, count: values.count)
        bytes.withUnsafeBytes {
            FloatConversion.widen($0.baseAddress! + 1, type: .f64, count: values.count, into: &result)
        }
        #expect(result == values.map { Float($0) })
    }
}

func zip3<A, B, C>(_ a: [A], _ b: [B], _ c: [C]) -> [(A, B, C)] { zip(zip(a, b), c).map { ($0.0, $0.1, $1) } }

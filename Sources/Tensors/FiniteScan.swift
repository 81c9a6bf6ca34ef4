/// Finds numbers that are none.
public enum FiniteScan {
    /// The index of the first NaN or infinity among `count` elements at `source` (any alignment); nil if all
    /// are finite, and for types that have neither.
    public static func firstBad(_ source: UnsafeRawPointer, type: ElementType, count: Int) -> Int? {
        switch type {
        case .bf16: first(source, count) { (bits: UInt16) in bits & 0x7F80 == 0x7F80 }
        case .f16: first(source, count) { (bits: UInt16) in bits & 0x7C00 == 0x7C00 }
        case .f32: first(source, count) { (bits: UInt32) in bits & 0x7F80_0000 == 0x7F80_0000 }
        case .f64: first(source, count) { (bits: UInt64) in bits & 0x7FF0 << 48 == 0x7FF0 << 48 }
        default: nil
        }
    }

    @inline(__always)
    private static func first<Bits: FixedWidthInteger & BitwiseCopyable>(
        _ source: UnsafeRawPointer, _ count: Int, _ isBad: (Bits) -> Bool
    ) -> Int? {
        // One pass without a branch per element, which vectorises; a second over a run that has one.
        let run = 4096
        var start = 0
        while start < count {
            let end = min(start + run, count)
            var found = 0
            for index in start..<end {
                let bits = source.loadUnaligned(fromByteOffset: index &* MemoryLayout<Bits>.size, as: Bits.self)
                found &+= isBad(bits) ? 1 : 0
            }
            if found > 0 {
                for index in start..<end
                where isBad(source.loadUnaligned(fromByteOffset: index * MemoryLayout<Bits>.size, as: Bits.self)) {
                    return index
                }
            }
            start = end
        }
        return nil
    }
}

public import Tensors

/// Floating-point elements taken apart into byte planes, and put together again.
///
/// Every element is rotated left by one bit, so that the sign joins the lowest mantissa bits and the
/// exponent starts at the top bit; plane 0 then holds the most significant byte of every element, plane 1
/// the next, and so on. For bfloat16 and float32 plane 0 is the exponent and nothing else, and it is where
/// trained weights have their redundancy: 2.6 bits of 8 for a normal distribution.
public enum BytePlanes {
    /// How many planes the type has; nil for types that are not taken apart.
    public static func count(of type: ElementType) -> Int? {
        switch type {
        case .f16, .bf16: 2
        case .f32: 4
        default: nil
        }
    }

    /// Splits `count` elements at `source` (any alignment) into planes that lie one after the other at
    /// `planes`: `[planes, count]` bytes.
    static func split(
        _ source: UnsafeRawPointer, planes planeCount: Int, count: Int, into planes: UnsafeMutablePointer<UInt8>
    ) {
        if planeCount == 2 {
            let high = planes
            let low = planes + count
            for index in 0..<count {
                let value = UInt16(littleEndian: source.loadUnaligned(fromByteOffset: index &* 2, as: UInt16.self))
                let rotated = value &<< 1 | value &>> 15
                high[index] = UInt8(truncatingIfNeeded: rotated &>> 8)
                low[index] = UInt8(truncatingIfNeeded: rotated)
            }
        } else {
            let (first, second, third, fourth) = (planes, planes + count, planes + 2 * count, planes + 3 * count)
            for index in 0..<count {
                let value = UInt32(littleEndian: source.loadUnaligned(fromByteOffset: index &* 4, as: UInt32.self))
                let rotated = value &<< 1 | value &>> 31
                first[index] = UInt8(truncatingIfNeeded: rotated &>> 24)
                second[index] = UInt8(truncatingIfNeeded: rotated &>> 16)
                third[index] = UInt8(truncatingIfNeeded: rotated &>> 8)
                fourth[index] = UInt8(truncatingIfNeeded: rotated)
            }
        }
    }

    /// The inverse of `split`; each plane has its own address, since planes may lie in different places.
    static func merge(_ planes: [UnsafePointer<UInt8>], count: Int, into target: UnsafeMutableRawPointer) {
        if planes.count == 2 {
            let high = planes[0]
            let low = planes[1]
            for index in 0..<count {
                let rotated = UInt16(high[index]) &<< 8 | UInt16(low[index])
                let value = rotated &>> 1 | rotated &<< 15
                target.storeBytes(of: value.littleEndian, toByteOffset: index &* 2, as: UInt16.self)
            }
        } else {
            let (first, second, third, fourth) = (planes[0], planes[1], planes[2], planes[3])
            for index in 0..<count {
                let upper = UInt32(first[index]) &<< 24 | UInt32(second[index]) &<< 16
                let lower = UInt32(third[index]) &<< 8 | UInt32(fourth[index])
                let rotated = upper | lower
                let value = rotated &>> 1 | rotated &<< 31
                target.storeBytes(of: value.littleEndian, toByteOffset: index &* 4, as: UInt32.self)
            }
        }
    }
}

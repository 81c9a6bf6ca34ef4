/// Where the codes of a super-block of 256 lie.
protocol SuperBlockCodes {
    static var highestCode: Int32 { get }
    static var byteCount: Int { get }
    /// The first scale that the search tries puts the range on `highestCode + firstStep` codes; each further one on 0.1 more.
    static var firstStep: Float { get }
    static var steps: Int { get }
    /// Calls for each 32 elements.
    static func decode(
        _ source: UnsafeRawPointer, group: Int, scale: Float, least: Float, into values: UnsafeMutablePointer<Float>)
    static func write(_ codes: UnsafePointer<UInt8>, into target: UnsafeMutableRawPointer)
}

/// Q4_K: per 64 elements 32 bytes; the low four bits are the first 32 elements, the high ones the others.
enum FourBitSuperCodes: SuperBlockCodes {
    static let highestCode: Int32 = 15
    static let byteCount = 128
    static let firstStep: Float = -1
    static let steps = 20

    @inline(__always)
    static func decode(
        _ source: UnsafeRawPointer, group: Int, scale: Float, least: Float, into values: UnsafeMutablePointer<Float>
    ) {
        let bytes = source + group / 2 * 32
        if group % 2 == 0 {
            for j in 0..<32 { values[j] = scale * Float(bytes.byte(j) & 15) - least }
        } else {
            for j in 0..<32 { values[j] = scale * Float(bytes.byte(j) >> 4) - least }
        }
    }

    @inline(__always)
    static func write(_ codes: UnsafePointer<UInt8>, into target: UnsafeMutableRawPointer) {
        for pair in 0..<4 {
            let codes = codes + pair * 64
            for j in 0..<32 { target.storeByte(codes[j] & 15 | codes[j + 32] << 4, at: pair * 32 + j) }
        }
    }
}

/// Q5_K: 32 bytes of fifth bits, that of element 32 g + j in bit g of byte j, then the rest as in Q4_K.
enum FiveBitSuperCodes: SuperBlockCodes {
    static let highestCode: Int32 = 31
    static let byteCount = 160
    static let firstStep: Float = -0.5
    static let steps = 15

    @inline(__always)
    static func decode(
        _ source: UnsafeRawPointer, group: Int, scale: Float, least: Float, into values: UnsafeMutablePointer<Float>
    ) {
        let bytes = source + 32 + group / 2 * 32
        let shift = UInt8(group % 2 * 4)
        for j in 0..<32 {
            let high = (source.byte(j) >> UInt8(group) & 1) << 4
            values[j] = scale * Float(bytes.byte(j) >> shift & 15 | high) - least
        }
    }

    @inline(__always)
    static func write(_ codes: UnsafePointer<UInt8>, into target: UnsafeMutableRawPointer) {
        for j in 0..<32 {
            var high: UInt8 = 0
            for group in 0..<8 { high |= (codes[group * 32 + j] >> 4 & 1) << UInt8(group) }
            target.storeByte(high, at: j)
        }
        FourBitSuperCodes.write(codes, into: target + 32)
    }
}

/// Q4_K and Q5_K: 256 elements in eight groups of 32. Two float16, d and m; a scale s and a minimum t of six bits for each group;
/// codes q. An element is (d s) q - (m t).
enum SuperBlock<Codes: SuperBlockCodes>: GGMLCodec {
    static var blockElements: Int { 256 }
    static var blockBytes: Int { 16 + Codes.byteCount }
    static var halves: [Int] { [0, 2] }

    static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
        let scale = block.half(0)
        let least = block.half(2)
        for group in 0..<8 {
            let (s, t) = sixBits(block + 4, group)
            Codes.decode(
                block + 16, group: group, scale: scale * Float(s), least: least * Float(t), into: values + group * 32)
        }
    }

    static func encode(_ values: UnsafePointer<Float>, into block: UnsafeMutableRawPointer) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { codes in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: 16) { ranges in
                let codes = codes.baseAddress!
                var largestScale: Float = 0
                var largestMinimum: Float = 0
                for group in 0..<8 {
                    let search = ScaleAndMinimum(
                        values + group * 32, highestCode: Codes.highestCode, firstStep: Codes.firstStep,
                        steps: Codes.steps, codes: codes + group * 32)
                    ranges[group] = search.scale
                    ranges[group + 8] = search.minimum
                    if search.scale > largestScale { largestScale = search.scale }
                    if search.minimum > largestMinimum { largestMinimum = search.minimum }
                }
                let scale = block.storeHalf(largestScale / 63, at: 0)
                let least = block.storeHalf(largestMinimum / 63, at: 2)
                let inverseScale = largestScale > 0 ? 63 / largestScale : 0
                let inverseMinimum = largestMinimum > 0 ? 63 / largestMinimum : 0
                for group in 0..<8 {
                    let s = min(63, UInt8(truncatingIfNeeded: (inverseScale * ranges[group]).nearest))
                    let t = min(63, UInt8(truncatingIfNeeded: (inverseMinimum * ranges[group + 8]).nearest))
                    storeSixBits(s, t, group, at: block + 4)
                    let step = scale * Float(s)
                    // Without a step the codes of the search stay; they count for nothing.
                    guard step != 0 else { continue }
                    let minimum = least * Float(t)
                    for j in group * 32..<group * 32 + 32 {
                        codes[j] = UInt8(max(0, min(Codes.highestCode, ((values[j] + minimum) / step).nearest)))
                    }
                }
                Codes.write(codes, into: block + 16)
            }
        }
    }

    /// Twelve bytes: groups 0 to 3 have their scale in the low bits of bytes 0 to 3 and their minimum in those of bytes 4 to 7;
    /// groups 4 to 7 the low four bits of both in bytes 8 to 11, the high two in the top of bytes 0 to 3 and 4 to 7.
    @inline(__always)
    private static func sixBits(_ bytes: UnsafeRawPointer, _ group: Int) -> (scale: UInt8, minimum: UInt8) {
        guard group >= 4 else { return (bytes.byte(group) & 63, bytes.byte(group + 4) & 63) }
        let low = bytes.byte(group + 4)
        return (low & 15 | (bytes.byte(group - 4) >> 6) << 4, low >> 4 | (bytes.byte(group) >> 6) << 4)
    }

    /// - Precondition: groups come in order.
    @inline(__always)
    private static func storeSixBits(_ scale: UInt8, _ minimum: UInt8, _ group: Int, at bytes: UnsafeMutableRawPointer)
    {
        if group < 4 {
            bytes.storeByte(scale, at: group)
            bytes.storeByte(minimum, at: group + 4)
        } else {
            let view = UnsafeRawPointer(bytes)
            bytes.storeByte(scale & 15 | minimum << 4, at: group + 4)
            bytes.storeByte(view.byte(group - 4) | (scale >> 4) << 6, at: group - 4)
            bytes.storeByte(view.byte(group) | (minimum >> 4) << 6, at: group)
        }
    }
}

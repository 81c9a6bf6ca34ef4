/// Q6_K: 256 elements in sixteen groups of 16. 128 bytes of low four bits, 64 of high two bits, a signed byte s for each group, a
/// float16 d; an element is (d s) (q - 32).
///
/// Of each 128 elements, element 32 g + j has its low bits in byte 32 (g % 2) + j of 64, the low half for g < 2 and the high half
/// for others, and its high bits in bits 2 g and 2 g + 1 of byte j of 32.
enum SixBitSuperBlock: GGMLCodec {
    static let blockElements = 256
    static let blockBytes = 210
    static let halves = [scaleOffset]

    private static let highOffset = 128
    private static let scalesOffset = 192
    private static let scaleOffset = 208
    /// A group that stays below it is all zero.
    private static let least: Float = 1e-15

    static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
        let scale = block.half(scaleOffset)
        for part in 0..<8 {
            let half = part / 4
            let quarter = part % 4
            let low = block + half * 64 + quarter % 2 * 32
            let high = block + highOffset + half * 32
            let lowShift = UInt8(quarter / 2 * 4)
            let highShift = UInt8(quarter * 2)
            for run in 0..<2 {
                let step = scale * Float(block.load(fromByteOffset: scalesOffset + part * 2 + run, as: Int8.self))
                let target = values + part * 32
                for j in run * 16..<run * 16 + 16 {
                    let code = low.byte(j) >> lowShift & 15 | (high.byte(j) >> highShift & 3) << 4
                    target[j] = step * Float(Int32(code) - 32)
                }
            }
        }
    }

    static func encode(_ values: UnsafePointer<Float>, into block: UnsafeMutableRawPointer) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { codes in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: 16) { scales in
                let codes = codes.baseAddress!
                var largest: Float = 0
                var extreme: Float = 0
                for group in 0..<16 {
                    scales[group] = scale(values + group * 16, codes: codes + group * 16)
                    if scales[group].magnitude > largest {
                        largest = scales[group].magnitude
                        extreme = scales[group]
                    }
                }
                guard largest >= least else {
                    block.initializeMemory(as: UInt8.self, repeating: 0, count: blockBytes)
                    return
                }
                let inverse = -128 / extreme
                let scale = block.storeHalf(1 / inverse, at: scaleOffset)
                for group in 0..<16 {
                    let signed = Int8(truncatingIfNeeded: min(127, (inverse * scales[group]).nearest))
                    block.storeBytes(of: signed, toByteOffset: scalesOffset + group, as: Int8.self)
                    let step = scale * Float(signed)
                    // Without a step the codes of the search stay; they count for nothing.
                    guard step != 0 else { continue }
                    for j in group * 16..<group * 16 + 16 {
                        codes[j] = UInt8(max(-32, min(31, (values[j] / step).nearest)) + 32)
                    }
                }
                write(codes, into: block)
            }
        }
    }

    private static func write(_ codes: UnsafePointer<UInt8>, into block: UnsafeMutableRawPointer) {
        for half in 0..<2 {
            let codes = codes + half * 128
            let low = block + half * 64
            let high = block + highOffset + half * 32
            for j in 0..<32 {
                let (a, b, c, d) = (codes[j], codes[j + 32], codes[j + 64], codes[j + 96])
                low.storeByte(a & 15 | c << 4, at: j)
                low.storeByte(b & 15 | d << 4, at: j + 32)
                high.storeByte(a >> 4 | (b >> 4) << 2 | (c >> 4) << 4 | (d >> 4) << 6, at: j)
            }
        }
    }

    /// The scale of least squared error for 16 numbers, weighted by their squares, among those that follow from 19 guesses around
    /// the one that puts the extreme on the lowest code.
    /// - Parameter codes: gets the codes that belong to it.
    private static func scale(_ values: UnsafePointer<Float>, codes: UnsafeMutablePointer<UInt8>) -> Float {
        var largest: Float = 0
        var extreme: Float = 0
        for j in 0..<16 where values[j].magnitude > largest {
            largest = values[j].magnitude
            extreme = values[j]
        }
        for j in 0..<16 { codes[j] = 0 }
        guard largest >= least else { return 0 }
        @inline(__always) func code(_ inverse: Float, _ j: Int) -> Int32 {
            max(-32, min(31, (inverse * values[j]).nearest))
        }
        /// Sums of weight times code times number, and of weight times code squared.
        func sums(_ inverse: Float) -> (Float, Float) {
            var product: Float = 0
            var square: Float = 0
            for j in 0..<16 {
                let code = Float(code(inverse, j))
                let weight = values[j] * values[j]
                product += weight * values[j] * code
                square += weight * code * code
            }
            return (product, square)
        }
        func keep(_ inverse: Float) { for j in 0..<16 { codes[j] = UInt8(code(inverse, j) + 32) } }

        let inverse = -32 / extreme
        let (product, square) = sums(inverse)
        keep(inverse)
        var scale = square == 0 ? 0 : product / square
        var best = scale * product
        for step in -9...9 where step != 0 {
            let inverse = -(32 + 0.1 * Float(step)) / extreme
            let (product, square) = sums(inverse)
            if square > 0, product * product > best * square {
                keep(inverse)
                scale = product / square
                best = scale * product
            }
        }
        return scale
    }
}

/// IQ4_NL: a scale d, then codes of four bits that stand for 16 levels, closer together around zero; an element is d times its
/// level.
enum NonlinearBlock: GGMLCodec {
    static let blockElements = 32
    static let blockBytes = 18
    static let halves = [0]

    static let levels: [Float] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
    /// Scales tried on either side of the one that puts the extreme on the lowest level.
    private static let tries = 7
    /// A block that stays below it is all zero.
    private static let least: Float = 1e-15

    static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
        let scale = block.half(0)
        levels.withUnsafeBufferPointer { levels in
            for j in 0..<16 {
                let byte = block.byte(2 + j)
                values[j] = scale * levels[Int(byte & 15)]
                values[j + 16] = scale * levels[Int(byte >> 4)]
            }
        }
    }

    /// The scale is that of least squared error, weighted by the squares of the elements, among those that follow from 16 first
    /// guesses: the level nearest to each element under the guess, then the best scale for these levels.
    static func encode(_ values: UnsafePointer<Float>, into block: UnsafeMutableRawPointer) {
        levels.withUnsafeBufferPointer { levels in
            let scale = scale(values, levels)
            block.storeHalf(scale, at: 0)
            let inverse = scale == 0 ? 0 : 1 / scale
            for j in 0..<16 {
                let low = nearest(inverse * values[j], levels)
                let high = nearest(inverse * values[j + 16], levels)
                block.storeByte(UInt8(low | high << 4), at: 2 + j)
            }
        }
    }

    private static func scale(_ values: UnsafePointer<Float>, _ levels: UnsafeBufferPointer<Float>) -> Float {
        var largest: Float = 0
        var extreme: Float = 0
        for j in 0..<32 where values[j].magnitude > largest {
            largest = values[j].magnitude
            extreme = values[j]
        }
        guard largest >= least else { return 0 }
        /// Sums of weight times level times element, and of weight times level squared.
        func sums(_ inverse: Float) -> (Float, Float) {
            var product: Float = 0
            var square: Float = 0
            for j in 0..<32 {
                let value = values[j]
                let level = levels[nearest(inverse * value, levels)]
                let weight = value * value
                product += weight * level * value
                square += weight * level * level
            }
            return (product, square)
        }
        let (product, square) = sums(1 / (-extreme / levels[0]))
        var scale = square > 0 ? product / square : 0
        var best = scale * product
        for step in -tries...tries {
            let (product, square) = sums((Float(step) + levels[0]) / extreme)
            if square > 0, product * product > best * square {
                scale = product / square
                best = scale * product
            }
        }
        return scale
    }

    /// The nearest level; of two at the same distance the higher.
    @inline(__always)
    private static func nearest(_ value: Float, _ levels: UnsafeBufferPointer<Float>) -> Int {
        if value <= levels[0] { return 0 }
        if value >= levels[15] { return 15 }
        var low = 0
        var high = 15
        while high - low > 1 {
            let middle = (low + high) / 2
            if value < levels[middle] { high = middle } else { low = middle }
        }
        return value - levels[high - 1] < levels[high] - value ? high - 1 : high
    }
}

import Tensors

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Normal numbers by Box and Muller's transform, in pairs.
struct Gaussian {
    private var generator: SplitMix64

    init(seed: UInt64, name: String) { generator = SplitMix64(seed: seed, name: name) }

    mutating func fill(_ target: UnsafeMutablePointer<Float>, count: Int, stride: Int = 1) {
        for index in Swift.stride(from: 0, to: count, by: 2) {
            // 1 - u lies in 0 <..1, where the logarithm is finite.
            let radius = (-2 * log(1 - generator.uniform())).squareRoot()
            let angle = 2 * Double.pi * generator.uniform()
            target[index * stride] = Float(radius * cos(angle))
            if index + 1 < count { target[(index + 1) * stride] = Float(radius * sin(angle)) }
        }
    }
}

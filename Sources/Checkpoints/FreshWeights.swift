public import Architecture
public import Tensors

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Weights that no file holds: matrices and tables drawn from a normal distribution of standard deviation
/// 0.02 (as transformers initialises linear layers and embeddings), biases zero.
///
/// Each tensor has a generator of its own, seeded by the user's seed and the role, so that the same seed gives
/// the same tensor whatever else is drawn: SplitMix64 (Steele, Lea, Flood 2014) and Box-Muller in double.
public enum FreshWeights {
    public static let deviation = 0.02

    public static func tensor(_ parameter: Parameter, name: String, seed: UInt64) -> Tensor {
        var values = [Float](repeating: 0, count: parameter.shape.count)
        if parameter.isMatrix {
            var generator = SplitMix64(seed: seed, name: parameter.role.rawValue)
            for index in stride(from: 0, to: values.count, by: 2) {
                // 0 < u <= 1, so that the logarithm is finite.
                let u = Double((generator.next() >> 11) + 1) * 0x1p-53
                let v = Double(generator.next() >> 11) * 0x1p-53
                let radius = deviation * (-2 * log(u)).squareRoot()
                values[index] = Float(radius * cos(2 * .pi * v))
                if index + 1 < values.count { values[index + 1] = Float(radius * sin(2 * .pi * v)) }
            }
        }
        return Tensor(name: name, shape: parameter.shape, values: values)
    }
}

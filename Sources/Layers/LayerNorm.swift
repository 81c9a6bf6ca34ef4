import Kernels

/// Layer norm (Ba et al. 2016): `weight * (x - mean) / sqrt(variance + epsilon) + bias`.
public struct LayerNorm: Sendable {
    /// `[width]`
    public let weight: [Float]
    /// `[width]`
    public let bias: [Float]
    public let epsilon: Float

    public init(weight: [Float], bias: [Float], epsilon: Float) {
        precondition(weight.count == bias.count)
        self.weight = weight
        self.bias = bias
        self.epsilon = epsilon
    }

    /// - Parameters: `x` and `y` are `[rows, width]`; `y` may be `x`.
    public func forward(_ x: MatrixView, into y: MatrixView) {
        precondition(x.columns == weight.count && y.columns == weight.count && x.rows == y.rows)
        weight.withUnsafeBufferPointer { weight in
            bias.withUnsafeBufferPointer { bias in
                guard let weight = weight.baseAddress, let bias = bias.baseAddress else { return }
                Rowwise.forEach(x.rows, columns: x.columns) { row in
                    VectorMath.layerNorm(
                        x.row(row), weight: weight, bias: bias, epsilon: epsilon, count: x.columns, into: y.row(row))
                }
            }
        }
    }
}

import Kernels

/// Root-mean-square norm (Zhang and Sennrich 2019), in float32: `weight * x / sqrt(mean(x^2) + epsilon)`.
public struct RMSNorm: Sendable {
    /// `[width]`
    public let weight: [Float]
    public let epsilon: Float

    public init(weight: [Float], epsilon: Float) {
        self.weight = weight
        self.epsilon = epsilon
    }

    /// - Parameters: `x` and `y` are `[rows, width]`; `y` may be `x`.
    public func forward(_ x: MatrixView, into y: MatrixView) {
        precondition(x.columns == weight.count && y.columns == weight.count && x.rows == y.rows)
        weight.withUnsafeBufferPointer { weight in
            guard let weight = weight.baseAddress else { return }
            Rowwise.forEach(x.rows, columns: x.columns) { row in
                VectorMath.rmsNorm(x.row(row), weight: weight, epsilon: epsilon, count: x.columns, into: y.row(row))
            }
        }
    }

    /// The backward pass: adds to `dx` the gradient with respect to `x`.
    /// - Parameters:
    ///   - x: what the norm was given, `[rows, width]`.
    ///   - dy: `[rows, width]`
    public func backward(_ dy: MatrixView, x: MatrixView, addingTo dx: MatrixView) {
        precondition(x.columns == weight.count && dy.columns == weight.count && dx.columns == weight.count)
        precondition(x.rows == dy.rows && x.rows == dx.rows)
        weight.withUnsafeBufferPointer { weight in
            guard let weight = weight.baseAddress else { return }
            Rowwise.forEach(x.rows, columns: x.columns) { row in
                VectorMath.rmsNormBackward(
                    x.row(row), weight: weight, epsilon: epsilon, count: x.columns, gradient: dy.row(row),
                    into: dx.row(row))
            }
        }
    }
}

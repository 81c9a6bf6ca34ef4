public import Architecture
import Kernels
public import Tensors

/// A tensor that learns: its value, which the model reads, and the gradient of the loss with respect to it.
public struct LearnedTensor: Sendable {
    public let role: Role
    public let shape: Shape
    /// `[shape.rows, shape.columns]`; a vector is one row.
    public let value: Matrix
    /// As `value`. Whoever computes gradients adds to it; `LearnedTensors.clearGradients` makes it zero.
    public let gradient: Matrix

    /// - Precondition: `value` has the rows and columns of `shape`.
    public init(role: Role, shape: Shape, value: Matrix) {
        precondition(value.rows == shape.rows && value.columns == shape.columns)
        self.role = role
        self.shape = shape
        self.value = value
        gradient = Matrix(rows: value.rows, columns: value.columns)
    }
}

/// All that learns in a stage of training, in the order of the model's parameters.
///
/// A reference: the model reads the values where they lie, so that what an optimizer writes there is what the next
/// pass computes with. One pass or one update at a time.
public final class LearnedTensors: Sendable {
    public let tensors: [LearnedTensor]
    private let indices: [Role: Int]

    /// - Precondition: no role occurs twice.
    public init(_ tensors: [LearnedTensor]) {
        self.tensors = tensors
        indices = Dictionary(uniqueKeysWithValues: tensors.enumerated().map { ($1.role, $0) })
    }

    public subscript(role: Role) -> LearnedTensor? { indices[role].map { tensors[$0] } }

    /// Elements of all tensors.
    public var count: Int { tensors.reduce(0) { $0 + $1.value.count } }

    public func clearGradients() {
        for tensor in tensors { tensor.gradient.pointer.update(repeating: 0, count: tensor.gradient.count) }
    }

    /// Multiplies every gradient, for instance by one over the number of targets that it is a sum over.
    public func scaleGradients(by factor: Float) {
        for tensor in tensors {
            Parallel.forEachRange(of: tensor.gradient.count, size: 1 << 16) { range in
                VectorMath.scale(tensor.gradient.pointer + range.lowerBound, by: factor, count: range.count)
            }
        }
    }
}

public import Tensors

/// A weight in the form that it is stored in.
public enum StoredWeight: Sendable {
    /// In its own float type.
    case dense(Tensor)

    public var shape: Shape {
        switch self {
        case .dense(let tensor): tensor.shape
        }
    }
}

import Bytes
public import Tensors

/// What a checkpoint knows of a tensor without making its values.
public struct TensorEntry: Sendable, Hashable {
    public let name: String
    /// The type of the elements that `Checkpoint.tensor` gives.
    public let type: ElementType
    public let shape: Shape
    /// How the file stores it: an element type's name, or that of a quantized format, such as `Q4_K` or `nf4`.
    public let encoding: String
    /// Whether `Checkpoint.weight` gives codes and scales as they are stored; else it makes what `tensor` makes.
    public let keepsCodes: Bool
    /// Bytes that it takes in its file.
    public let byteCount: Int
    /// Where it begins in its file, for reading a file forwards.
    public let offset: Int

    public init(
        name: String, type: ElementType, shape: Shape, encoding: String, keepsCodes: Bool = false, byteCount: Int,
        offset: Int
    ) {
        self.name = name
        self.type = type
        self.shape = shape
        self.encoding = encoding
        self.keepsCodes = keepsCodes
        self.byteCount = byteCount
        self.offset = offset
    }

    /// A tensor that is stored as it is given out.
    public init(_ tensor: Tensor, offset: Int = 0) {
        self.init(
            name: tensor.name, type: tensor.type, shape: tensor.shape, encoding: tensor.type.rawValue,
            byteCount: tensor.region.count, offset: offset)
    }

    /// Bytes of the tensor as `Checkpoint.tensor` gives it.
    public var denseByteCount: Int { shape.count * type.byteCount }
}

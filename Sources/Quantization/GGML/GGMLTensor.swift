public import Bytes
import Kernels
public import Tensors

/// A tensor in one of GGML's types, over borrowed bytes: rows of whole blocks, one after the other.
public struct GGMLTensor: Sendable {
    public let name: String
    public let type: GGMLType
    /// Outermost first, as everywhere here.
    public let shape: Shape
    public let region: ByteRegion

    /// - Precondition: rows are whole blocks, and `region` has the size that type and shape call for.
    public init(name: String, type: GGMLType, shape: Shape, region: ByteRegion) {
        precondition((shape.dims.last ?? 1) % type.blockElements == 0)
        precondition(region.count == type.byteCount(of: shape.count))
        self.name = name
        self.type = type
        self.shape = shape
        self.region = region
    }

    /// Elements that one task makes numbers of.
    private static let runElements = 1 << 18

    /// A run of whole blocks as float32, on the calling thread.
    /// - Precondition: the range lies inside the tensor, and begins and ends at blocks of a type with blocks.
    public func dequantize(elements: Range<Int>, into target: UnsafeMutablePointer<Float>) {
        guard let codec = type.codec else { preconditionFailure("\(type.label) has no blocks") }
        precondition(elements.lowerBound >= 0 && elements.upperBound <= shape.count)
        precondition(elements.lowerBound % codec.blockElements == 0 && elements.count % codec.blockElements == 0)
        withExtendedLifetime(region) {
            codec.decode(
                region.baseAddress + elements.lowerBound / codec.blockElements * codec.blockBytes,
                blocks: elements.count / codec.blockElements, into: target)
        }
    }

    /// The tensor as others know it: where elements stand by themselves over the same bytes, otherwise dequantized to float32, on
    /// all cores. Float32 holds what GGML's own dequantization gives to the bit; a product of a half and a code needs more
    /// digits than F16 or BF16 have.
    public func dense() -> Tensor {
        if let type = type.elementType { return Tensor(name: name, type: type, shape: shape, region: region) }
        let buffer = ByteBuffer(uninitialized: shape.count * 4)
        let target = buffer.pointer.assumingMemoryBound(to: Float.self)
        Parallel.forEachRange(of: shape.count, size: Self.runElements) { range in
            dequantize(elements: range, into: target + range.lowerBound)
        }
        return Tensor(name: name, type: .f32, shape: shape, region: buffer.region)
    }
}

extension GGMLType {
    /// The same type among those of safetensors; nil for a block format.
    public var elementType: ElementType? {
        switch self {
        case .f64: .f64
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        case .i64: .i64
        case .i32: .i32
        case .i16: .i16
        case .i8: .i8
        default: nil
        }
    }
}

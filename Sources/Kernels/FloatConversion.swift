public import Bytes
import CKernels
public import Tensors

/// Conversion between float32 and the types that weights are stored in.
public enum FloatConversion {
    /// `count` elements of a float type as float32. Exact but for F64, which is rounded to nearest.
    /// - Precondition: `type.isFloat`; `source` may have any alignment.
    public static func widen(
        _ source: UnsafeRawPointer, type: ElementType, count: Int, into target: UnsafeMutablePointer<Float>
    ) {
        precondition(count >= 0)
        if type == .f64 {
            ck_f64_to_f32(source, Int64(count), target)
        } else {
            ck_to_f32(source, type.kernelType, Int64(count), target)
        }
    }

    /// All of a tensor as float32: its own bytes where it is that already.
    /// - Precondition: `tensor.type.isFloat`.
    public static func widened(_ tensor: Tensor) -> ByteRegion {
        guard tensor.type != .f32 else { return tensor.region }
        let wide = ByteBuffer(uninitialized: tensor.shape.count * MemoryLayout<Float>.stride)
        widen(tensor, elements: 0..<tensor.shape.count, into: wide.pointer.assumingMemoryBound(to: Float.self))
        return wide.region
    }

    /// `count` float32 rounded to F32, F16 or BF16: to nearest, ties to even; too large becomes infinity, a NaN stays one.
    /// - Precondition: `type` is one of the three; `target` may have any alignment.
    public static func narrow(
        _ source: UnsafePointer<Float>, count: Int, to type: ElementType, into target: UnsafeMutableRawPointer
    ) {
        precondition(count >= 0)
        ck_from_f32(source, type.kernelType, Int64(count), target)
    }

    /// Elements of a tensor as float32.
    /// - Precondition: the tensor's type is a float type and the range lies inside it.
    public static func widen(_ tensor: Tensor, elements: Range<Int>, into target: UnsafeMutablePointer<Float>) {
        precondition(elements.lowerBound >= 0 && elements.upperBound <= tensor.shape.count)
        widen(
            tensor.region.baseAddress + elements.lowerBound * tensor.type.byteCount, type: tensor.type,
            count: elements.count, into: target)
    }
}

extension ElementType {
    /// Whether the quantizers and products read this type directly.
    public var isKernelType: Bool { self == .f32 || self == .f16 || self == .bf16 }

    var kernelType: ck_type {
        switch self {
        case .f32: CK_F32
        case .f16: CK_F16
        case .bf16: CK_BF16
        default: preconditionFailure("no kernel reads \(rawValue)")
        }
    }
}

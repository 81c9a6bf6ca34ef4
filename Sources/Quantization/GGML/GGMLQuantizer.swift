public import Bytes
import Kernels
public import Tensors

/// Makes blocks of numbers as GGML's reference quantizers do, without an importance matrix.
public struct GGMLQuantizer: Sendable, Hashable {
    /// A block format, F16, BF16 or F32.
    public let type: GGMLType

    /// - Precondition: `type` holds real numbers.
    public init(_ type: GGMLType) {
        precondition(type.isBlockFormat || type.elementType?.isKernelType == true)
        self.type = type
    }

    /// Elements that one task quantizes.
    private static let runElements = 1 << 16

    /// Quantizes a tensor of F32, F16, BF16, or F64 (rounded to F32 first) on all cores.
    /// - Throws: `CrayonError` for NaN, infinities, numbers that the type's scales cannot reach, other element types, empty tensors
    ///   and rows that are no whole blocks.
    public func quantize(_ tensor: Tensor, place: String = "quantize") throws(CrayonError) -> GGMLTensor {
        try requireFloats(tensor, place: place)
        guard let count = type.byteCount(of: tensor.shape.count),
            (tensor.shape.dims.last ?? 1) % type.blockElements == 0
        else {
            throw CrayonError(
                .unsupported, in: place, item: "tensor '\(tensor.name)'", found: "shape \(tensor.shape)",
                expected: "rows of a multiple of \(type.blockElements), a block of \(type.label)")
        }
        let buffer = ByteBuffer(uninitialized: count)
        try Parallel.forEachRange(of: tensor.shape.count, size: Self.runElements) { (range) throws(CrayonError) in
            try withUnsafeTemporaryAllocation(of: Float.self, capacity: range.count) { (scratch) throws(CrayonError) in
                let values = scratch.baseAddress!
                FloatConversion.widen(tensor, elements: range, into: values)
                try quantize(
                    values, first: range.lowerBound, count: range.count,
                    into: buffer.pointer + range.lowerBound / type.blockElements * type.blockBytes, name: tensor.name,
                    place: place)
            }
        }
        return GGMLTensor(name: tensor.name, type: type, shape: tensor.shape, region: buffer.region)
    }

    /// Quantizes a run of whole blocks on the calling thread.
    /// - Parameters:
    ///   - first: the index of the first in its tensor, for errors.
    ///   - name: the tensor's, for errors.
    /// - Throws: as above.
    /// - Precondition: `count` is a multiple of the block; `target` has room for the blocks.
    public func quantize(
        _ values: UnsafePointer<Float>, first: Int = 0, count: Int, into target: UnsafeMutableRawPointer, name: String,
        place: String
    ) throws(CrayonError) {
        func refuse(_ index: Int, _ found: String, _ expected: String, advice: String? = nil) -> CrayonError {
            CrayonError(
                .notFinite, in: place, item: "tensor '\(name)'", found: "\(found) at index \(first + index)",
                expected: expected, advice: advice)
        }
        if let bad = FiniteScan.firstBad(values, type: .f32, count: count) {
            throw refuse(bad, "\(values[bad])", "finite weights")
        }
        guard let codec = type.codec else {
            guard let dense = type.elementType, dense.isKernelType else { preconditionFailure("checked at init") }
            FloatConversion.narrow(values, count: count, to: dense, into: target)
            if let bad = FiniteScan.firstBad(target, type: dense, count: count) {
                throw refuse(
                    bad, "\(values[bad]), too large for \(type.label)", "numbers that the type holds",
                    advice: "Write it as f32 or bf16.")
            }
            return
        }
        precondition(count % codec.blockElements == 0)
        codec.encode(values, blocks: count / codec.blockElements, into: target)
        let halves = codec.halves
        for block in 0..<count / codec.blockElements {
            let bytes = UnsafeRawPointer(target) + block * codec.blockBytes
            guard halves.allSatisfy({ bytes.half($0).isFinite }) else {
                throw refuse(
                    block * codec.blockElements, "a block whose scale is too large for \(type.label)",
                    "scales below 65520, which float16 holds", advice: "Write it as f32 or bf16.")
            }
        }
    }
}

import Bytes
import Kernels
import Tensors

/// Quantizers read float types, and need something to read.
func requireFloats(_ tensor: Tensor, place: String) throws(CrayonError) {
    guard tensor.type.isFloat else {
        throw CrayonError(
            .unsupported, in: place, item: "tensor '\(tensor.name)'", found: "elements of type \(tensor.type.rawValue)",
            expected: "F64, F32, F16 or BF16", advice: "Keep it as it is.")
    }
    guard tensor.shape.count > 0 else {
        throw CrayonError(
            .unsupported, in: place, item: "tensor '\(tensor.name)'", found: "shape \(tensor.shape)",
            expected: "at least one element", advice: "Keep it as it is.")
    }
}

extension Tensor {
    /// Hands a run of whole blocks to a kernel, in a type that the kernels read: F64 is rounded to F32 first.
    ///
    /// - Parameters:
    ///   - elements: starts at a multiple of the block size, and ends at one or at the tensor's end.
    ///   - kernel: given the run and its type; the index in the run of the first element that is not finite.
    /// - Throws: `CrayonError` naming tensor and index for NaN or infinity, and for a type that is no float type.
    func readBlocks(
        _ elements: Range<Int>, of blockSize: Int, place: String,
        kernel: (UnsafeRawPointer, ElementType) -> Int?
    ) throws(CrayonError) {
        precondition(elements.lowerBound >= 0 && elements.upperBound <= shape.count)
        precondition(elements.lowerBound % blockSize == 0)
        precondition(elements.upperBound % blockSize == 0 || elements.upperBound == shape.count)
        try requireFloats(self, place: place)
        let source = region.baseAddress + elements.lowerBound * type.byteCount
        let bad: Int?
        if type == .f64 {
            bad = withUnsafeTemporaryAllocation(of: Float.self, capacity: elements.count) { scratch in
                FloatConversion.widen(source, type: .f64, count: elements.count, into: scratch.baseAddress!)
                return kernel(scratch.baseAddress!, .f32)
            }
        } else {
            bad = withExtendedLifetime(region) { kernel(source, type) }
        }
        if let bad { throw notFinite(at: elements.lowerBound + bad, place: place) }
    }

    /// The error for a NaN or an infinity in a weight.
    private func notFinite(at index: Int, place: String) -> CrayonError {
        var value: Float = 0
        FloatConversion.widen(self, elements: index..<index + 1, into: &value)
        let position =
            shape.rank == 2 && shape.columns > 0
            ? " (row \(index / shape.columns), column \(index % shape.columns))" : ""
        return CrayonError(
            .notFinite, in: place, item: "tensor '\(name)'", found: "\(value) at index \(index)\(position)",
            expected: "finite weights", advice: "A checkpoint with NaN or infinite weights cannot be quantized.")
    }
}

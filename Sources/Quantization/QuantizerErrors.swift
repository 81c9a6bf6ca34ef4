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
    /// The error for a NaN or an infinity in a weight.
    func notFinite(at index: Int, place: String) -> CrayonError {
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

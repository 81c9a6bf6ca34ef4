import CKernels
public import Tensors

/// Products of a dense matrix and a vector, each row summed in float32 in an order that depends on the
/// number of columns alone.
public enum RowProduct {
    /// `y[r] = sum over c of W[r][c] x[c]`.
    /// - Parameter stride: elements from one row of W to the next.
    /// - Precondition: `type` is F32, F16 or BF16; `weights` may have any alignment.
    public static func multiply(
        _ weights: UnsafeRawPointer, type: ElementType, rows: Int, columns: Int, stride: Int? = nil,
        x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>
    ) {
        precondition(rows >= 0 && columns >= 0)
        ck_multiply(weights, type.kernelType, Int64(rows), Int64(columns), Int64(stride ?? columns), x, y)
    }
}

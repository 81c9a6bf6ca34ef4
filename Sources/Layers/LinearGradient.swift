import Kernels
import Tensors

/// Gradients of what a linear layer holds.
public enum LinearGradient {
    private static let tileRows = 128
    private static let tileColumns = 1024

    /// Adds `scale dy^T x`, the gradient with respect to the weight.
    /// - Parameters:
    ///   - dy: `[rows, out]`
    ///   - x: `[rows, in]`, what the layer read.
    ///   - gradient: `[out, in]`
    public static func addWeight(_ dy: MatrixView, x: MatrixView, scale: Float = 1, to gradient: MatrixView) {
        precondition(dy.rows == x.rows && gradient.rows == dy.columns && gradient.columns == x.columns)
        guard dy.rows > 0 else { return }
        let across = (gradient.columns + tileColumns - 1) / tileColumns
        let down = (gradient.rows + tileRows - 1) / tileRows
        Parallel.forEach(count: across * down) { task in
            let firstRow = task / across * tileRows
            let firstColumn = task % across * tileColumns
            let rows = firstRow..<min(firstRow + tileRows, gradient.rows)
            let columns = firstColumn..<min(firstColumn + tileColumns, gradient.columns)
            BLAS.gemm(
                transposeA: true, m: rows.count, n: columns.count, k: dy.rows, alpha: scale,
                a: dy.pointer + firstRow, lda: dy.stride, b: x.pointer + firstColumn, ldb: x.stride, beta: 1,
                c: gradient.row(firstRow) + firstColumn, ldc: gradient.stride)
        }
    }

    /// Adds the sums of the columns of `dy`, the gradient with respect to the bias.
    /// - Parameter gradient: `[1, out]`
    public static func addBias(_ dy: MatrixView, to gradient: MatrixView) {
        precondition(gradient.rows == 1 && gradient.columns == dy.columns)
        for row in 0..<dy.rows { VectorMath.add(dy.row(row), into: gradient.pointer, count: dy.columns) }
    }
}

import Kernels
import Quantization
import Tensors

extension Linear {
    /// Inputs and outputs of the part of the weight that is widened at a time: 1 MiB of float32.
    private static let gradientColumns = 1024
    private static let gradientRows = 256

    /// The gradient with respect to `x` of `y = x W^T + bias`: `dx = scale dy W`, or added to `dx` where `adds`.
    ///
    /// Tiles of the weight are widened on the fly and forgotten, as in the forward pass; their sizes depend on the shapes
    /// alone.
    /// - Parameters:
    ///   - dy: `[rows, out]`
    ///   - dx: `[rows, in]`; must not overlap `dy`.
    public func inputGradient(
        _ dy: MatrixView, scale: Float = 1, adds: Bool = false, into dx: MatrixView, workspace: Workspace
    ) {
        precondition(dy.columns == outputs && dx.columns == inputs && dy.rows == dx.rows)
        let tiles = (inputs + Linear.gradientColumns - 1) / Linear.gradientColumns
        // As in the forward pass: the rows are split too where the weight has few tiles.
        let parts = max(1, min((8 + tiles - 1) / tiles, dy.rows / 128))
        Parallel.forEach(count: tiles * parts) { task in
            let first = task / parts * Linear.gradientColumns
            let columns = first..<min(first + Linear.gradientColumns, inputs)
            let part = dy.rows * (task % parts) / parts..<dy.rows * (task % parts + 1) / parts
            inputGradientTile(
                columns, dy.rows(part), scale: scale, keep: adds ? 1 : 0, into: dx.rows(part).columns(columns),
                workspace: workspace)
        }
    }

    private func inputGradientTile(
        _ columns: Range<Int>, _ dy: MatrixView, scale: Float, keep: Float, into dx: MatrixView, workspace: Workspace
    ) {
        workspace.withScratch(min(outputs, Linear.gradientRows) * columns.count) { tile in
            for start in stride(from: 0, to: outputs, by: Linear.gradientRows) {
                let rows = start..<min(start + Linear.gradientRows, outputs)
                if columns.count == inputs {
                    weight.dequantizeRows(rows, into: tile)
                } else {
                    for (index, row) in rows.enumerated() {
                        weight.dequantize(
                            elements: row * inputs + columns.lowerBound..<row * inputs + columns.upperBound,
                            into: tile + index * columns.count)
                    }
                }
                BLAS.gemm(
                    m: dy.rows, n: columns.count, k: rows.count, alpha: scale, a: dy.pointer + start, lda: dy.stride,
                    b: tile, ldb: columns.count, beta: start == 0 ? keep : 1, c: dx.pointer, ldc: dx.stride)
            }
        }
    }
}

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

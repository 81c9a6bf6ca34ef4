import Kernels
import Tensors

/// What a linear layer reads, as int16 with a scale for every 64 values: the left factor of `Int16Product`.
struct NarrowedRows {
    let q: UnsafePointer<Int16>
    /// `[rows, blocks(columns:)]`
    let scales: MatrixView
    let columns: Int

    /// Rows that a core narrows before it asks for more work.
    private static let rowsOfTask = 8

    /// Narrows rows into the workspace, for as long as `body` runs.
    /// - Parameter largest: what bounds the other factor.
    static func with(
        _ x: MatrixView, largest: Int32, for use: Int16Product.Use, workspace: Workspace, _ body: (NarrowedRows) -> Void
    ) {
        let (stride, blocks) = (Int16Product.stride(columns: x.columns), Int16Product.blocks(columns: x.columns))
        // Two int16 in the place of one float.
        let narrow = workspace.view(.narrowed, rows: x.rows, columns: stride / 2)
        let scales = workspace.view(.narrowedScales, rows: x.rows, columns: blocks)
        narrow.pointer.withMemoryRebound(to: Int16.self, capacity: x.rows * stride) { q in
            Parallel.forEachRange(of: x.rows, size: rowsOfTask) { rows in
                Int16Product.narrow(
                    x.pointer + rows.lowerBound * x.stride, stride: x.stride, rows: rows.count, columns: x.columns,
                    largestLevel: largest, for: use, into: q + rows.lowerBound * stride,
                    scales: scales.pointer + rows.lowerBound * blocks)
            }
            body(NarrowedRows(q: q, scales: scales, columns: x.columns))
        }
    }

    func rows(_ part: Range<Int>) -> NarrowedRows {
        NarrowedRows(
            q: q + part.lowerBound * Int16Product.stride(columns: columns), scales: scales.rows(part), columns: columns)
    }

    /// `y = alpha x W^T` over inputs from `first` on, or that added to `y`.
    /// - Parameters:
    ///   - depth: whole blocks.
    ///   - strips: of the weight, with `stripScales`.
    ///   - y: `[rows, outputs]`
    func multiply(
        first: Int, depth: Int, strips: UnsafePointer<Int16>, stripScales: UnsafePointer<Float>, outputs: Int,
        alpha: Float, adds: Bool, into y: UnsafeMutablePointer<Float>, yStride: Int
    ) {
        Int16Product.multiply(
            q, scales: scales.pointer, columns: columns, rows: scales.rows, first: first, depth: depth, strips: strips,
            stripScales: stripScales, outputs: outputs, alpha: alpha, adds: adds, into: y, yStride: yStride)
    }
}

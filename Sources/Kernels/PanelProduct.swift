import CKernels

/// Products of a row-major matrix and a panel: 16 columns, each row of them one run of memory.
///
/// For block Krylov methods, whose products are so narrow that BLAS spends most of its time on rearranging the matrix.
/// Here it is read in place, once for each product.
public enum PanelProduct {
    /// Columns of a panel.
    public static let width = 16

    /// `Y = A V`, or `Y += A V`, on the calling thread.
    /// - Parameters:
    ///   - a: `[rows, count]`, rows `stride` elements apart.
    ///   - v: `[count, 16]`
    ///   - y: `[rows, 16]`
    /// - Precondition: no extent is negative; `stride` is at least `count`.
    public static func multiply(
        _ a: UnsafePointer<Float>, stride: Int, rows: Int, count: Int, by v: UnsafePointer<Float>,
        into y: UnsafeMutablePointer<Float>, adding: Bool = false
    ) {
        precondition(rows >= 0 && count >= 0 && stride >= count)
        ck_panel_multiply(a, Int64(stride), Int64(rows), Int64(count), v, y, adding)
    }

    /// `G += A^T Y`, on the calling thread.
    /// - Parameters:
    ///   - a: `[rows, count]`, rows `stride` elements apart.
    ///   - y: `[rows, 16]`
    ///   - g: `[count, 16]`
    /// - Precondition: no extent is negative; `stride` is at least `count`.
    public static func accumulate(
        transposed a: UnsafePointer<Float>, stride: Int, rows: Int, count: Int, by y: UnsafePointer<Float>,
        into g: UnsafeMutablePointer<Float>
    ) {
        precondition(rows >= 0 && count >= 0 && stride >= count)
        ck_panel_accumulate(a, Int64(stride), Int64(rows), Int64(count), y, g)
    }
}

import CKernels

/// Rows of numbers as 8-bit integers with one float32 scale each, read where they lie.
///
/// `scale = absmax / 127`, `code = x / scale` to the nearest, ties to even: an element is off by at most `absmax / 254`.
/// A row that holds something not finite reads as NaNs.
public struct Int8Rows: @unchecked Sendable {
    // @unchecked: borrowed memory, only read.

    /// The first code of row 0.
    let codes: UnsafePointer<Int8>
    /// The scale of row 0.
    let scales: UnsafePointer<Float>
    let rows: Int
    let columns: Int
    /// Codes from one row to the next.
    let stride: Int
    /// Scales from one row to the next.
    let scaleStride: Int

    /// - Precondition: no extent is negative; `stride` is at least `columns`. The memory outlives the value.
    public init(
        codes: UnsafePointer<Int8>, scales: UnsafePointer<Float>, rows: Int, columns: Int, stride: Int, scaleStride: Int
    ) {
        precondition(rows >= 0 && columns >= 0 && stride >= columns && scaleStride >= 0)
        self.codes = codes
        self.scales = scales
        self.rows = rows
        self.columns = columns
        self.stride = stride
        self.scaleStride = scaleStride
    }

    /// Rounds `runs` rows of `columns` elements that lie one after the other.
    /// - Parameters:
    ///   - codes: `[runs, columns]`
    ///   - scales: `[runs]`
    public static func encode(
        _ source: UnsafePointer<Float>, runs: Int, columns: Int, codes: UnsafeMutablePointer<Int8>,
        scales: UnsafeMutablePointer<Float>
    ) {
        precondition(runs >= 0 && columns >= 0)
        ck_i8_encode(source, Int64(runs), Int64(columns), codes, scales)
    }

    /// All rows as float32. `[rows, columns]`
    public func decode(into target: UnsafeMutablePointer<Float>) {
        ck_i8_decode(codes, scales, Int64(scaleStride), Int64(rows), Int64(columns), Int64(stride), target)
    }
}

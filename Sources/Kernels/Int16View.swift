/// The codes and scales of a weight in memory, for products in integers: see `Int16Product`.
public protocol Int16View {
    /// Outputs `rows` and inputs `columns` of a weight with `width` columns, as strips of pairs of inputs.
    /// - Parameters:
    ///   - strips: `[ceil(rows / 16), columns / 2, 16, 2]`
    ///   - scales: `[ceil(rows / 16), columns / 64, 16]`
    /// - Precondition: all columns are multiples of 64; at most `Int16Product.largestDepth` columns.
    func int16Strips(
        width: Int, rows: Range<Int>, columns: Range<Int>, levels: Int16Levels,
        into strips: UnsafeMutablePointer<Int16>, scales: UnsafeMutablePointer<Float>)

    /// `y[i][r] = sum over c of W[rows.lowerBound + r][c] x[i][c]` for a few rows, narrowed for this kind of weight. What a row
    /// gives does not depend on those beside it.
    /// - Parameters:
    ///   - count: rows of x.
    ///   - y: `[count, rows]`, rows `yStride` apart.
    /// - Precondition: as for the strips; at most `Int16Product.largestColumns` columns and `Int16Product.mostRows` rows.
    func multiply(
        columns: Int, rows: Range<Int>, levels: Int16Levels, int16 q: UnsafePointer<Int16>,
        scales: UnsafePointer<Float>, count: Int, into y: UnsafeMutablePointer<Float>, yStride: Int)
}

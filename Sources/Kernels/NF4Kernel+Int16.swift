import CKernels

extension NF4View {
    /// Outputs `rows` and inputs `columns` of a weight with `width` columns, as strips of pairs of inputs.
    /// - Parameters:
    ///   - strips: `[ceil(rows / 16), columns / 2, 16, 2]`
    ///   - scales: `[ceil(rows / 16), columns / 64, 16]`
    /// - Precondition: all columns are multiples of 64, and `width` of the block size, which is one of 64 too; at most
    ///   `Int16Product.largestDepth` columns.
    public func int16Strips(
        width: Int, rows: Range<Int>, columns: Range<Int>, levels: Int16Levels,
        into strips: UnsafeMutablePointer<Int16>, scales: UnsafeMutablePointer<Float>
    ) {
        precondition(columns.count <= Int16Product.largestDepth && columns.count % Int16Product.blockSize == 0)
        withUnsafePointer(to: tensor) {
            ck_nf4_int16_strips(
                $0, Int64(width), Int64(rows.lowerBound), Int64(rows.count), Int64(columns.lowerBound),
                Int64(columns.count), levels.values, levels.unit, strips, scales)
        }
    }

    /// `y[i][r] = sum over c of W[rows.lowerBound + r][c] x[i][c]` for a few rows from `Int16Product.narrow` for `nf4Rows`.
    /// What a row gives does not depend on those beside it.
    /// - Parameters:
    ///   - count: rows of x.
    ///   - y: `[count, rows]`, rows `yStride` apart.
    /// - Precondition: as for the strips; at most `Int16Product.largestColumns` columns and `Int16Product.mostRows` rows.
    public func multiply(
        columns: Int, rows: Range<Int>, levels: Int16Levels, int16 q: UnsafePointer<Int16>,
        scales: UnsafePointer<Float>, count: Int, into y: UnsafeMutablePointer<Float>, yStride: Int
    ) {
        precondition(columns <= Int16Product.largestColumns && count > 0 && count <= Int16Product.mostRows)
        precondition(count == 1 || yStride >= rows.count)
        var x = ck_int16_rows_view(
            q: q, stride: Int64(Int16Product.stride(columns: columns)), scales: scales,
            scale_stride: Int64(columns / Int16Product.blockSize))
        withUnsafePointer(to: tensor) {
            ck_nf4_multiply_int16(
                $0, Int64(columns), Int64(rows.lowerBound), Int64(rows.count), levels.values, levels.unit, &x,
                Int64(count), y, Int64(yStride))
        }
    }
}

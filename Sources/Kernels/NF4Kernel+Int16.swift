import CKernels

/// Blocks of scales are multiples of 64, and rows of whole blocks.
extension NF4View: Int16View {
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

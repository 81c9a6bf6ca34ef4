import CKernels

/// A weight in 8-bit codes in memory, for products in integers. Blocks of scales are multiples of 64; there are 256 levels.
public struct Dynamic8View: Int16View {
    private let tensor: ck_dynamic8_tensor

    /// - Parameter absmax: float32, one for each block; may have any alignment.
    public init(codes: UnsafePointer<UInt8>, absmax: UnsafeRawPointer, blockSize: Int) {
        tensor = ck_dynamic8_tensor(codes: codes, absmax: absmax, block: Int64(blockSize))
    }

    public func int16Strips(
        width: Int, rows: Range<Int>, columns: Range<Int>, levels: Int16Levels,
        into strips: UnsafeMutablePointer<Int16>, scales: UnsafeMutablePointer<Float>
    ) {
        precondition(columns.count <= Int16Product.largestDepth && columns.count % Int16Product.blockSize == 0)
        precondition(levels.values.count == 256)
        withUnsafePointer(to: tensor) {
            ck_dynamic8_int16_strips(
                $0, Int64(width), Int64(rows.lowerBound), Int64(rows.count), Int64(columns.lowerBound),
                Int64(columns.count), levels.values, levels.unit, strips, scales)
        }
    }

    public func multiply(
        columns: Int, rows: Range<Int>, levels: Int16Levels, int16 q: UnsafePointer<Int16>,
        scales: UnsafePointer<Float>, count: Int, into y: UnsafeMutablePointer<Float>, yStride: Int
    ) {
        precondition(columns <= Int16Product.largestColumns && count > 0 && count <= Int16Product.mostRows)
        precondition((count == 1 || yStride >= rows.count) && levels.values.count == 256)
        var x = ck_int16_rows_view(
            q: q, stride: Int64(Int16Product.stride(columns: columns)), scales: scales,
            scale_stride: Int64(Int16Product.blocks(columns: columns)))
        withUnsafePointer(to: tensor) {
            ck_dynamic8_multiply_int16(
                $0, Int64(columns), Int64(rows.lowerBound), Int64(rows.count), levels.values, levels.unit, &x,
                Int64(count), y, Int64(yStride))
        }
    }
}

import CKernels

/// Products in integers: a quantized weight's levels as int16, or a dense weight as int16 with a scale for every 64 values, and
/// the other factor likewise. Sums of 64 products are exact in int32; what is lost is the rounding of both factors.
public enum Int16Product {
    /// What rows are narrowed for. Each kernel wants the values of a block in an order of its own.
    public enum Use: Sendable {
        case strips
        case nf4Rows
        case dynamic8Rows

        fileprivate var kernelUse: ck_int16_use {
            switch self {
            case .strips: CK_FOR_STRIPS
            case .nf4Rows: CK_FOR_NF4_ROWS
            case .dynamic8Rows: CK_FOR_DYNAMIC8_ROWS
            }
        }
    }

    /// Values that share a scale.
    public static let blockSize = Int(CK_INT16_BLOCK)
    /// The most inputs of strips.
    public static let largestDepth = Int(CK_INT16_DEPTH)
    /// The most columns of a weight.
    public static let largestColumns = Int(CK_INT16_COLUMNS)
    /// Elements from one row of int16 values to the next, for a weight of that many columns: neighbouring rows fall into
    /// different sets of the first-level cache. Blocks may be kept by twos.
    public static func stride(columns: Int) -> Int {
        (columns + 2 * blockSize - 1) / (2 * blockSize) * (2 * blockSize) + 32
    }
    /// The most rows of `NF4View.multiply(int16:)` and of `Dynamic8View`'s.
    public static let mostRows = Int(CK_INT16_FEW)
    /// Blocks of a row; the last may be filled up with zeros.
    public static func blocks(columns: Int) -> Int { (columns + blockSize - 1) / blockSize }

    /// Rows as int16.
    /// - Parameters:
    ///   - x: `[rows, columns]`
    ///   - largestLevel: `Int16Levels.largest` of the weights that the rows will meet.
    ///   - q: `[rows, stride(columns:)]`
    ///   - scales: `[rows, blocks(columns:)]`; NaN where a value is not finite.
    public static func narrow(
        _ x: UnsafePointer<Float>, stride: Int, rows: Int, columns: Int, largestLevel: Int32, for use: Use,
        into q: UnsafeMutablePointer<Int16>, scales: UnsafeMutablePointer<Float>
    ) {
        precondition(rows >= 0 && columns >= 0 && stride >= columns && largestLevel > 0)
        ck_int16_rows(
            x, Int64(stride), Int64(rows), Int64(columns), largestLevel, use.kernelUse, q,
            Int64(Int16Product.stride(columns: columns)), scales)
    }

    /// The largest magnitude that pays off for a dense weight's integers: a normal block's other factor then loses as much.
    public static let largestOfDense: Int32 = 10_000

    /// Strips of a dense weight `w` of `[outputs, depth]`, as integers of at most `largestOfDense` with a scale for every 64.
    /// - Parameters:
    ///   - depth: at most `largestDepth`; filled up with zeros to whole blocks.
    ///   - strips: `[ceil(outputs / 16), blocks(depth) * 32, 16, 2]`
    ///   - scales: `[ceil(outputs / 16), blocks(depth), 16]`; NaN where a value is not finite.
    public static func strips(
        _ w: UnsafePointer<Float>, stride: Int, outputs: Int, depth: Int, into strips: UnsafeMutablePointer<Int16>,
        scales: UnsafeMutablePointer<Float>
    ) {
        precondition(outputs >= 0 && depth >= 0 && depth <= largestDepth && stride >= depth)
        ck_float_int16_strips(w, Int64(stride), Int64(outputs), Int64(depth), largestOfDense, strips, scales)
    }

    /// The same from strips of floats: see `StripProduct`.
    /// - Parameters:
    ///   - floats: `[ceil(outputs / 16), depth, 16]`
    ///   - depth: filled up with zeros to whole blocks.
    ///   - stride: int16 values from one strip to the next, of which these inputs are a part.
    ///   - scales: likewise; a strip's are `stride / 64` apart.
    public static func strips(
        ofStrips floats: UnsafePointer<Float>, outputs: Int, depth: Int, into strips: UnsafeMutablePointer<Int16>,
        stride: Int, scales: UnsafeMutablePointer<Float>
    ) {
        let elements = StripProduct.elements(outputs: StripProduct.width, depth: blocks(columns: depth) * blockSize)
        precondition(outputs >= 0 && depth >= 0 && stride >= elements && stride % blockSize == 0)
        ck_int16_strips(
            floats, Int64(outputs), Int64(depth), largestOfDense, strips, Int64(stride), scales,
            Int64(stride / blockSize))
    }

    /// `y = alpha x W^T` over `depth` inputs from `first` on, or that added to `y`.
    /// - Parameters:
    ///   - q: rows from `narrow`, of a weight of `columns` columns; `scales` likewise.
    ///   - strips: of the weight, with `stripScales`.
    ///   - depth: a multiple of 64, zeros that fill the last block up included.
    ///   - y: `[rows, outputs]`
    public static func multiply(
        _ q: UnsafePointer<Int16>, scales: UnsafePointer<Float>, columns: Int, rows: Int, first: Int, depth: Int,
        strips: UnsafePointer<Int16>, stripScales: UnsafePointer<Float>, outputs: Int, alpha: Float = 1, adds: Bool,
        into y: UnsafeMutablePointer<Float>, yStride: Int
    ) {
        precondition(first >= 0 && first % blockSize == 0 && depth % blockSize == 0)
        precondition(first + depth <= blocks(columns: columns) * blockSize)
        precondition(rows >= 0 && outputs >= 0 && yStride >= outputs && depth <= largestDepth)
        var view = ck_int16_rows_view(
            q: q + first, stride: Int64(stride(columns: columns)), scales: scales + first / blockSize,
            scale_stride: Int64(blocks(columns: columns)))
        ck_int16_product(
            &view, Int64(rows), strips, stripScales, Int64(outputs), Int64(depth), alpha, adds, y, Int64(yStride))
    }
}

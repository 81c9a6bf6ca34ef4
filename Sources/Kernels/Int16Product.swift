import CKernels

/// Products of 4-bit weights in integers: the 16 levels as int16, the other factor as int16 with a scale for every 64
/// values. Sums of 64 products are exact in int32; what is lost is the rounding of both factors.
public enum Int16Product {
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
    /// The most rows of `NF4View.multiply(int16:)`.
    public static let mostRows = Int(CK_INT16_FEW)

    /// Rows as int16.
    /// - Parameters:
    ///   - x: `[rows, columns]`
    ///   - largestLevel: `Int16Levels.largest` of the weights that the rows will meet.
    ///   - forRows: for `NF4View.multiply(int16:)` rather than for strips; the order of values differs.
    ///   - q: `[rows, stride(columns:)]`
    ///   - scales: `[rows, columns / 64]`; NaN where a value is not finite.
    /// - Precondition: `columns` is a multiple of 64.
    public static func narrow(
        _ x: UnsafePointer<Float>, stride: Int, rows: Int, columns: Int, largestLevel: Int32, forRows: Bool,
        into q: UnsafeMutablePointer<Int16>, scales: UnsafeMutablePointer<Float>
    ) {
        precondition(rows >= 0 && columns % blockSize == 0 && stride >= columns && largestLevel > 0)
        ck_int16_rows(
            x, Int64(stride), Int64(rows), Int64(columns), largestLevel, forRows, q,
            Int64(Int16Product.stride(columns: columns)), scales)
    }

    /// `y = alpha x W^T` over `depth` inputs from `first` on, or that added to `y`.
    /// - Parameters:
    ///   - q: rows from `narrow`, of a weight of `columns` columns; `scales` likewise.
    ///   - strips: from `NF4View.int16Strips`, with `stripScales`.
    ///   - y: `[rows, outputs]`
    public static func multiply(
        _ q: UnsafePointer<Int16>, scales: UnsafePointer<Float>, columns: Int, rows: Int, first: Int, depth: Int,
        strips: UnsafePointer<Int16>, stripScales: UnsafePointer<Float>, outputs: Int, alpha: Float = 1, adds: Bool,
        into y: UnsafeMutablePointer<Float>, yStride: Int
    ) {
        precondition(first >= 0 && first % blockSize == 0 && depth % blockSize == 0 && first + depth <= columns)
        precondition(rows >= 0 && outputs >= 0 && yStride >= outputs && depth <= largestDepth)
        var view = ck_int16_rows_view(
            q: q + first, stride: Int64(stride(columns: columns)), scales: scales + first / blockSize,
            scale_stride: Int64(columns / blockSize))
        ck_int16_product(
            &view, Int64(rows), strips, stripScales, Int64(outputs), Int64(depth), alpha, adds, y, Int64(yStride))
    }
}

/// The 16 levels of a 4-bit weight as integers: level = `values[code] * unit`, rounded.
public struct Int16Levels: Sendable, Equatable {
    /// `[16]`
    public let values: [Int16]
    public let unit: Float
    /// The largest magnitude.
    public let largest: Int32

    /// Integers as large as pays off: larger ones lie nearer to the levels, but leave the other factor fewer bits before a
    /// sum of 64 products might not fit. Some sizes happen to suit the levels better than others: all are tried.
    /// - Returns: nil for levels that are not finite, or all 0.
    public init?(_ map: [Float]) {
        let most = map.reduce(0) { max($0, abs($1)) }
        guard map.count == 16, map.allSatisfy(\.isFinite), most > 0 else { return nil }
        var best = (error: Double.infinity, size: 0.0)
        let energy = map.reduce(0) { $0 + pow2(Double($1 / most)) }
        for size in stride(from: 2048.0, through: 16384.0, by: 1) {
            let levels = map.reduce(0) { sum, level in
                let wide = Double(level / most) * size
                return sum + pow2(wide - wide.rounded())
            }
            // A block of normal values with as large a sum as fits: its root mean square is 1.25 of its mean.
            let other = 1.25 * Double(Int32.max) / size / Double(Int16Product.blockSize)
            let error = levels / (energy * pow2(size)) + 1 / (12 * pow2(other))
            if error < best.error { best = (error, size) }
        }
        values = map.map { Int16((Double($0 / most) * best.size).rounded()) }
        unit = Float(Double(most) / best.size)
        largest = values.reduce(0) { max($0, abs(Int32($1))) }
    }

    /// Of NF4.
    public static let nf4 = Int16Levels(NF4Kernel.map)
}

private func pow2(_ value: Double) -> Double { value * value }

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

    /// `y[i][r] = sum over c of W[rows.lowerBound + r][c] x[i][c]` for a few rows from `Int16Product.narrow(forRows: true)`.
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

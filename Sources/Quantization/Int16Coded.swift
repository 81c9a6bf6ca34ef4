public import Kernels
public import Tensors

/// A quantized weight whose products can be computed in integers as it is stored: see `Int16Product`.
public protocol Int16Coded: Sendable {
    associatedtype View: Int16View

    var shape: Shape { get }
    /// The levels as integers; nil for a weight that the kernels do not take.
    var int16Levels: Int16Levels? { get }
    /// What a few rows are narrowed for.
    static var int16RowUse: Int16Product.Use { get }
    /// Calls `body` with what the kernels want; it holds for the call only.
    func withInt16View(_ body: (View) -> Void)
}

extension Int16Coded {
    /// Strips of some outputs and inputs; see `Int16View`.
    /// - Precondition: the ranges lie inside the weight, the columns at multiples of 64; `levels` are `int16Levels`.
    public func int16Strips(
        rows: Range<Int>, columns: Range<Int>, levels: Int16Levels, into strips: UnsafeMutablePointer<Int16>,
        scales: UnsafeMutablePointer<Float>
    ) {
        precondition(rows.lowerBound >= 0 && rows.upperBound <= shape.rows)
        precondition(columns.lowerBound >= 0 && columns.upperBound <= shape.columns)
        precondition(columns.lowerBound % Int16Product.blockSize == 0)
        withInt16View {
            $0.int16Strips(
                width: shape.columns, rows: rows, columns: columns, levels: levels, into: strips, scales: scales)
        }
    }

    /// `y[i][r] = sum over c of W[rows.lowerBound + r][c] x[i][c]`.
    /// - Parameters:
    ///   - q: `count` rows from `Int16Product.narrow` for `int16RowUse`, with `scales`.
    ///   - y: `[count, rows]`, rows `yStride` apart.
    /// - Precondition: the rows lie inside `shape.rows`; `levels` are `int16Levels`; at most `Int16Product.mostRows` rows of x.
    public func multiply(
        rows: Range<Int>, levels: Int16Levels, int16 q: UnsafePointer<Int16>, scales: UnsafePointer<Float>, count: Int,
        into y: UnsafeMutablePointer<Float>, yStride: Int
    ) {
        precondition(rows.lowerBound >= 0 && rows.upperBound <= shape.rows)
        withInt16View {
            $0.multiply(
                columns: shape.columns, rows: rows, levels: levels, int16: q, scales: scales, count: count, into: y,
                yStride: yStride)
        }
    }
}

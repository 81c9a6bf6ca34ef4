import Bytes
public import Kernels
import Tensors

/// Products in integers: see `Int16Product`.
extension NF4Tensor {
    /// The levels as integers; nil for a weight whose rows are not made of whole blocks of 64, or are longer than the kernels
    /// take.
    public var int16Levels: Int16Levels? {
        let columns = shape.columns
        guard shape.rank == 2, blockSize % Int16Product.blockSize == 0, columns % blockSize == 0,
            columns <= Int16Product.largestColumns
        else { return nil }
        let map = [Float](
            UnsafeBufferPointer(start: quantMap.baseAddress.assumingMemoryBound(to: Float.self), count: 16))
        return map == NF4Kernel.map ? Int16Levels.nf4 : Int16Levels(map)
    }

    /// Strips of some outputs and inputs.
    /// - Precondition: the ranges lie inside the weight, the columns at multiples of 64; `levels` are `int16Levels`.
    public func int16Strips(
        rows: Range<Int>, columns: Range<Int>, levels: Int16Levels, into strips: UnsafeMutablePointer<Int16>,
        scales: UnsafeMutablePointer<Float>
    ) {
        precondition(rows.lowerBound >= 0 && rows.upperBound <= shape.rows)
        precondition(columns.lowerBound >= 0 && columns.upperBound <= shape.columns)
        precondition(columns.lowerBound % Int16Product.blockSize == 0)
        withView {
            $0.int16Strips(
                width: shape.columns, rows: rows, columns: columns, levels: levels, into: strips, scales: scales)
        }
    }

    /// `y[i][r] = sum over c of W[rows.lowerBound + r][c] x[i][c]`.
    /// - Parameters:
    ///   - q: `count` rows from `Int16Product.narrow` for `nf4Rows`, with `scales`.
    ///   - y: `[count, rows]`, rows `yStride` apart.
    /// - Precondition: the rows lie inside `shape.rows`; `levels` are `int16Levels`; at most `Int16Product.mostRows` rows of x.
    public func multiply(
        rows: Range<Int>, levels: Int16Levels, int16 q: UnsafePointer<Int16>, scales: UnsafePointer<Float>, count: Int,
        into y: UnsafeMutablePointer<Float>, yStride: Int
    ) {
        precondition(rows.lowerBound >= 0 && rows.upperBound <= shape.rows)
        withView {
            $0.multiply(
                columns: shape.columns, rows: rows, levels: levels, int16: q, scales: scales, count: count, into: y,
                yStride: yStride)
        }
    }
}

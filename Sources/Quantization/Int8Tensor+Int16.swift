import Bytes
public import Kernels
import Tensors

/// Products in integers: see `Int16Product`.
extension Int8Tensor {
    /// The levels as integers; nil for a weight whose rows or blocks are not made of runs of 64, or whose rows are longer than the
    /// kernels take.
    public var int16Levels: Int16Levels? {
        let columns = shape.columns
        guard shape.rank >= 2, blockSize % Int16Product.blockSize == 0, columns % Int16Product.blockSize == 0,
            columns <= Int16Product.largestColumns
        else { return nil }
        let map = [Float](
            UnsafeBufferPointer(start: quantMap.baseAddress.assumingMemoryBound(to: Float.self), count: 256))
        return map == Dynamic8Kernel.map ? Int16Levels.dynamic8 : Int16Levels(map)
    }

    private func withView<Result>(_ body: (Dynamic8View) -> Result) -> Result {
        withExtendedLifetime(self) {
            body(
                Dynamic8View(
                    codes: codes.baseAddress.assumingMemoryBound(to: UInt8.self), absmax: absmax.baseAddress,
                    blockSize: blockSize))
        }
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

    /// `y[i][r] = sum over c of W[rows.lowerBound + r][c] x[i][c]`, as `NF4Tensor` has it.
    /// - Parameter q: `count` rows from `Int16Product.narrow` for `dynamic8Rows`, with `scales`.
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

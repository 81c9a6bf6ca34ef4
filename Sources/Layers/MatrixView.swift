public import Tensors

/// A row-major float32 matrix, or a part of one, that somebody else owns: what layers read and write.
///
/// A view keeps its owner's memory alive; what stands there is the owner's affair (a `Workspace` slot that is asked for
/// again holds something else). Whoever splits work over cores gives each its own rows or columns.
public struct MatrixView: @unchecked Sendable {
    // @unchecked: a borrowed buffer; writers are kept apart by the layer that splits the work.

    /// The first element of row 0.
    public let pointer: UnsafeMutablePointer<Float>
    public let rows: Int
    public let columns: Int
    /// Elements from one row to the next; at least `columns`.
    public let stride: Int
    /// Whose memory it is.
    let owner: AnyObject?

    /// - Parameter owner: what keeps the memory alive; nil where the caller sees to that.
    public init(
        _ pointer: UnsafeMutablePointer<Float>, rows: Int, columns: Int, stride: Int? = nil, owner: AnyObject? = nil
    ) {
        precondition(rows >= 0 && columns >= 0 && stride ?? columns >= columns)
        self.owner = owner
        self.pointer = pointer
        self.rows = rows
        self.columns = columns
        self.stride = stride ?? columns
    }

    public func row(_ index: Int) -> UnsafeMutablePointer<Float> {
        precondition(index >= 0 && index < rows)
        return pointer + index * stride
    }

    /// Some rows, over the same memory.
    public func rows(_ range: Range<Int>) -> MatrixView {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows)
        return MatrixView(
            pointer + range.lowerBound * stride, rows: range.count, columns: columns, stride: stride,
            owner: owner)
    }

    /// Some columns, over the same memory.
    public func columns(_ range: Range<Int>) -> MatrixView {
        precondition(range.lowerBound >= 0 && range.upperBound <= columns)
        return MatrixView(pointer + range.lowerBound, rows: rows, columns: range.count, stride: stride, owner: owner)
    }

    /// Copies the elements of a view of the same extents that does not overlap this one.
    public func copy(from other: MatrixView) {
        precondition(rows == other.rows && columns == other.columns)
        for index in 0..<rows {
            (pointer + index * stride).update(from: other.pointer + index * other.stride, count: columns)
        }
    }
}

extension Matrix {
    /// All of it.
    public var view: MatrixView { MatrixView(pointer, rows: rows, columns: columns, owner: self) }
}

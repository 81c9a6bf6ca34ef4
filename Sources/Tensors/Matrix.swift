import Bytes

/// Activations: a row-major float32 matrix in memory of its own, zeroed, aligned for SIMD loads.
///
/// A reference, so that layers write into each other's buffers without copies; whoever splits work over
/// cores gives each its own rows.
public final class Matrix: @unchecked Sendable {
    public let rows: Int
    public let columns: Int
    /// `[rows, columns]`, row-major.
    public let pointer: UnsafeMutablePointer<Float>
    private let storage: ByteBuffer

    /// - Precondition: neither extent is negative.
    public init(rows: Int, columns: Int) {
        precondition(rows >= 0 && columns >= 0)
        self.rows = rows
        self.columns = columns
        storage = ByteBuffer(count: rows * columns * MemoryLayout<Float>.stride)
        pointer = storage.pointer.assumingMemoryBound(to: Float.self)
    }

    /// - Precondition: as many values as the shape calls for.
    public convenience init(rows: Int, columns: Int, values: [Float]) {
        precondition(values.count == rows * columns)
        self.init(rows: rows, columns: columns)
        if !values.isEmpty { pointer.update(from: values, count: values.count) }
    }

    /// The first rows, over the same memory.
    /// - Precondition: there are that many.
    public func sharing(firstRows rows: Int) -> Matrix {
        precondition(rows >= 0 && rows <= self.rows)
        return rows == self.rows ? self : Matrix(rows: rows, columns: columns, storage: storage)
    }

    private init(rows: Int, columns: Int, storage: ByteBuffer) {
        self.rows = rows
        self.columns = columns
        self.storage = storage
        pointer = storage.pointer.assumingMemoryBound(to: Float.self)
    }

    public var count: Int { rows * columns }

    /// - Precondition: `index` is a row.
    public func row(_ index: Int) -> UnsafeMutableBufferPointer<Float> {
        precondition(index >= 0 && index < rows)
        return UnsafeMutableBufferPointer(start: pointer + index * columns, count: columns)
    }

    /// A copy of all elements, row by row.
    public var values: [Float] { [Float](UnsafeBufferPointer(start: pointer, count: count)) }

    public func copy() -> Matrix {
        let copy = Matrix(rows: rows, columns: columns)
        copy.pointer.update(from: pointer, count: count)
        return copy
    }

    /// A copy of some rows.
    public func rows(_ range: Range<Int>) -> Matrix {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows)
        let copy = Matrix(rows: range.count, columns: columns)
        copy.pointer.update(from: pointer + range.lowerBound * columns, count: copy.count)
        return copy
    }

    /// The matrix as a tensor over the same memory, which shows what is written here later: a weight that learns. Nobody may
    /// write while somebody reads.
    /// - Precondition: the shape has as many elements.
    public func tensor(named name: String, shape: Shape) -> Tensor {
        precondition(shape.count == count)
        return Tensor(name: name, type: .f32, shape: shape, region: storage.region)
    }
}

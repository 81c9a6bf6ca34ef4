import Kernels
import Tensors

/// Keys or values of consecutive positions in the form that they are kept in, as attention reads them:
/// `[rows, groups * headSize]`.
///
/// A borrowed view, like `MatrixView`, of which it also is the narrow kin.
public struct KVRows: @unchecked Sendable {
    // @unchecked: a borrowed buffer; writers are kept apart by the layer that splits the work.

    public let format: KVCacheFormat
    public let rows: Int
    /// Elements of a row that are in use; several heads.
    public let columns: Int
    /// The first element of row 0.
    private let base: UnsafeMutableRawPointer
    /// Elements from one row to the next.
    private let stride: Int
    /// Of int8: the scales of row 0. `[rows, columns / headSize]`
    private let scales: UnsafeMutablePointer<Float>?
    /// Elements that share a scale.
    private let headSize: Int
    /// Whose memory it is.
    private let owner: AnyObject?

    /// Rows of float32 that anybody may own.
    public init(_ matrix: MatrixView) {
        self.init(
            format: .f32, base: matrix.pointer, rows: matrix.rows, columns: matrix.columns, stride: matrix.stride,
            headSize: max(matrix.columns, 1), owner: matrix.owner)
    }

    /// - Precondition: int8 has scales; `columns` is a multiple of `headSize`.
    init(
        format: KVCacheFormat, base: UnsafeMutableRawPointer, scales: UnsafeMutablePointer<Float>? = nil, rows: Int,
        columns: Int, stride: Int? = nil, headSize: Int, owner: AnyObject?
    ) {
        precondition(rows >= 0 && headSize > 0 && columns % headSize == 0 && (scales != nil) == (format == .int8))
        self.format = format
        self.base = base
        self.scales = scales
        self.rows = rows
        self.columns = columns
        self.stride = stride ?? columns
        self.headSize = headSize
        self.owner = owner
    }

    /// Some rows, over the same memory.
    public func rows(_ range: Range<Int>) -> KVRows {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows)
        return KVRows(
            format: format, base: base + range.lowerBound * stride * format.elementBytes,
            scales: scales.map { $0 + range.lowerBound * groups }, rows: range.count, columns: columns, stride: stride,
            headSize: headSize, owner: owner)
    }

    /// The rows themselves where they are float32, to be written in place.
    public var floats: MatrixView? {
        guard format == .f32 else { return nil }
        return MatrixView(
            base.assumingMemoryBound(to: Float.self), rows: rows, columns: columns, stride: stride, owner: owner)
    }

    private var groups: Int { columns / headSize }

    private func int8(_ rows: Range<Int>, _ columns: Range<Int>) -> Int8Rows? {
        guard let scales else { return nil }
        return Int8Rows(
            codes: UnsafePointer(base.assumingMemoryBound(to: Int8.self)) + rows.lowerBound * stride
                + columns.lowerBound, scales: scales + rows.lowerBound * groups + columns.lowerBound / headSize,
            rows: rows.count, columns: columns.count, stride: stride, scaleStride: groups)
    }

    private func element(_ row: Int, _ column: Int) -> UnsafeMutableRawPointer {
        base + (row * stride + column) * format.elementBytes
    }

    /// Keeps rows that were computed in float32; rounds them where the format does.
    /// - Parameter source: of the same extents; its rows lie together.
    public func store(_ source: MatrixView) {
        precondition(source.rows == rows && source.columns == columns)
        Rowwise.forEach(rows, columns: columns) { row in
            switch format {
            case .f32, .f16:
                FloatConversion.narrow(
                    source.row(row), count: columns, to: format == .f32 ? .f32 : .f16, into: element(row, 0))
            case .int8:
                guard let scales else { return }
                Int8Rows.encode(
                    source.row(row), runs: groups, columns: headSize,
                    codes: element(row, 0).assumingMemoryBound(to: Int8.self), scales: scales + row * groups)
            }
        }
    }

    /// All of it as float32.
    /// - Parameter target: of the same extents.
    public func widen(into target: MatrixView) {
        precondition(target.rows == rows && target.columns == columns)
        Rowwise.forEach(rows, columns: columns) { row in
            for group in 0..<groups {
                let head = group * headSize..<(group + 1) * headSize
                widen(rows: row..<row + 1, columns: head, into: target.row(row) + head.lowerBound)
            }
        }
    }

    /// One head of some rows as float32, the rows one after the other. `[rows, columns]`
    /// - Precondition: `columns` are those of one head.
    func widen(rows: Range<Int>, columns: Range<Int>, into target: UnsafeMutablePointer<Float>) {
        if let narrow = int8(rows, columns) { return narrow.decode(into: target) }
        for (index, row) in rows.enumerated() {
            FloatConversion.widen(
                element(row, columns.lowerBound), type: format == .f32 ? .f32 : .f16, count: columns.count,
                into: target + index * columns.count)
        }
    }

    /// One head of all rows, as the kernels of attention read it.
    /// - Precondition: `columns` are those of one head.
    func head(_ columns: Range<Int>) -> HeadRows {
        let format: HeadRows.Format =
            switch self.format {
            case .f32: .f32
            case .f16: .f16
            case .int8: .int8
            }
        return HeadRows(
            format, base: element(0, columns.lowerBound), columns: columns.count, stride: stride,
            scales: scales.map { UnsafePointer($0) + columns.lowerBound / headSize },
            scaleStride: scales == nil ? 0 : groups)
    }
}

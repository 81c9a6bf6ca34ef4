import CKernels

/// One key-value head of consecutive positions in the form that it is kept in, read where it lies.
public struct HeadRows: @unchecked Sendable {
    // @unchecked: borrowed memory, only read.

    public enum Format: Sendable {
        case f32
        case f16
        /// As `Int8Rows.encode` makes them.
        case int8
    }

    let format: Format
    let rows: ck_kv_rows
    /// Elements of a row.
    let columns: Int

    /// - Parameters:
    ///   - base: the head's first element of position 0, aligned to its size.
    ///   - stride: elements from one position to the next.
    ///   - scales: of int8, the head's scale of position 0; `scaleStride` from one position to the next.
    /// - Precondition: int8 has scales, the others have none. The memory outlives the value.
    public init(
        _ format: Format, base: UnsafeRawPointer, columns: Int, stride: Int, scales: UnsafePointer<Float>? = nil,
        scaleStride: Int = 0
    ) {
        precondition(columns > 0 && stride >= columns && scaleStride >= 0 && (scales != nil) == (format == .int8))
        self.format = format
        self.columns = columns
        let type =
            switch format {
            case .f32: CK_KV_F32
            case .f16: CK_KV_F16
            case .int8: CK_KV_I8
            }
        rows = ck_kv_rows(
            type: type, rows: base, scales: scales, stride: Int64(stride), scale_stride: Int64(scaleStride))
    }
}

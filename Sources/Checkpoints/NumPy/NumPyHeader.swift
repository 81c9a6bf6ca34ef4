import Bytes
import Tensors

/// The header of an `.npy` file: what it says of the array, checked.
///
///     0        6 bytes   93 'NUMPY'
///     6        2 bytes   version 1.0, 2.0 or 3.0
///     8        2 or 4    length of the text, little-endian (4 from version 2.0)
///     10 or 12           text: a Python dict of 'descr', 'fortran_order' and 'shape', padded with spaces, then a line break
///     …                  data
struct NumPyHeader {
    static let magic: [UInt8] = [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59]
    /// Bytes of the text; NumPy's own limit is 10000.
    static let textLimit = 1 << 16
    /// Bytes before the text at most.
    static let fixedCount = 12
    /// Axes; NumPy has 64.
    static let rankLimit = 64

    let view: StridedView
    /// As the file writes the type: `<f4`.
    let description: String
    /// Where the data begin.
    let dataOffset: Int

    static func begins(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.starts(with: magic) }

    /// - Returns: how many bytes of the file hold the header.
    static func count(_ bytes: UnsafeRawBufferPointer, place: String, item: String?) throws(CrayonError) -> Int {
        func refuse(_ found: String, _ expected: String, _ code: CrayonError.Code = .malformed) -> CrayonError {
            CrayonError(code, in: place, item: item, found: found, expected: expected)
        }
        guard bytes.count >= 10, begins(bytes) else { throw refuse("no NumPy header", "'\\x93NUMPY' and a version") }
        guard (1...3).contains(bytes[6]), bytes[7] == 0 else {
            throw refuse("version \(bytes[6]).\(bytes[7])", "1.0, 2.0 or 3.0", .unsupported)
        }
        let isWide = bytes[6] > 1
        guard !isWide || bytes.count >= 12 else { throw refuse("a header cut short", "its length") }
        let length = isWide ? Int(LittleEndian.u32(bytes, 8)) : Int(LittleEndian.u16(bytes, 8))
        guard length <= textLimit else { throw refuse("a header of \(length) bytes", "at most \(textLimit)") }
        return (isWide ? 12 : 10) + length
    }

    /// - Parameters:
    ///   - bytes: at least the header.
    ///   - total: bytes of the whole file.
    init(_ bytes: UnsafeRawBufferPointer, total: Int, place: String, item: String?) throws(CrayonError) {
        func refuse(
            _ found: String, _ expected: String, _ code: CrayonError.Code = .malformed, advice: String? = nil
        ) -> CrayonError {
            CrayonError(code, in: place, item: item, found: found, expected: expected, advice: advice)
        }
        let count = try Self.count(bytes, place: place, item: item)
        guard count <= bytes.count else { throw refuse("a header of \(count) bytes in \(bytes.count)", "a whole one") }
        let start = bytes[6] > 1 ? 12 : 10
        let fields: NumPyHeaderText.Fields
        do {
            fields = try NumPyHeaderText.read(UnsafeRawBufferPointer(rebasing: bytes[start..<count]))
        } catch {
            throw refuse("a header with \(error.what)", "{'descr': …, 'fortran_order': …, 'shape': …}")
        }
        guard let description = fields.description else {
            throw refuse(
                "an array of structures", "plain numbers", .unsupported,
                advice: "Save each field as an array of its own.")
        }
        guard let type = Self.type(description) else {
            throw refuse(
                "element type '\(description.prefix(40))'\(Self.note(description))",
                "floats, integers and booleans of 1 to 8 bytes", .unsupported, advice: Self.advice(description))
        }
        guard fields.shape.count <= Self.rankLimit, let shape = Shape(checking: fields.shape),
            case (let byteCount, let overflow) = shape.count.multipliedReportingOverflow(by: type.byteCount), !overflow
        else { throw refuse("a shape of more elements than 64 bits can count", "one that fits the file") }
        guard byteCount == total - count else {
            throw refuse(
                "\(total - count) bytes of data", "\(byteCount) for shape \(shape) of '\(description)'",
                advice: "The file is cut short or its header is wrong; copy or download it again.")
        }
        let strides = fields.isColumnMajor ? StridedView.columnMajor(shape) : StridedView.dense(shape)
        guard
            let view = StridedView(
                type, shape: shape, strides: strides, isSwapped: description.hasPrefix(">"), within: shape.count)
        else { throw refuse("shape \(shape)", "one that fits the file") }
        self.view = view
        self.description = description
        dataOffset = count
    }

    /// The type of `<f4` and its like; nil for those that we have no use for.
    private static func type(_ description: String) -> ElementType? {
        guard let order = description.first, "<>|=".contains(order) else { return nil }
        return switch description.dropFirst() {
        case "f8": .f64
        case "f4": .f32
        case "f2": .f16
        // ml_dtypes' bfloat16, which NumPy writes as two bytes of no meaning; no other type of that package has two.
        case "V2": order == ">" ? nil : .bf16
        case "i8": .i64
        case "i4": .i32
        case "i2": .i16
        case "i1": .i8
        case "u8": .u64
        case "u4": .u32
        case "u2": .u16
        case "u1": .u8
        case "b1": .bool
        default: nil
        }
    }

    private static func note(_ description: String) -> String {
        switch description.dropFirst().first {
        case "O": ", Python objects, which are a pickle"
        case "V": ", bytes without a type"
        case "c": ", complex numbers"
        case "U", "S", "a": ", text"
        case "M", "m": ", dates"
        default: ""
        }
    }

    private static func advice(_ description: String) -> String {
        description.dropFirst() == "V1"
            ? "Several 8-bit floats of ml_dtypes are written so; view the array as uint8 or convert it to float32 first."
            : "Convert the array in Python and save it again."
    }
}

public import Bytes
public import Tensors

/// Writes tensors as `numpy.savez` does: a zip archive with a stored `.npy` file for each.
///
/// The file appears under its name at `commit`.
public final class NumPyWriter {
    private let archive: StoredZipWriter
    private let positions: [String: Int]

    /// What NumPy calls a type; nil for one that it does not have.
    private static func descr(_ type: ElementType) -> String? {
        switch type {
        case .f64: "<f8"
        case .f32: "<f4"
        case .f16: "<f2"
        case .i64: "<i8"
        case .i32: "<i4"
        case .i16: "<i2"
        case .i8: "|i1"
        case .u64: "<u8"
        case .u32: "<u4"
        case .u16: "<u2"
        case .u8: "|u1"
        case .bool: "|b1"
        case .bf16, .f8e4m3, .f8e5m2, .f8e4m3fnuz, .f8e5m2fnuz, .f8e8m0: nil
        }
    }

    /// Whether NumPy has the type.
    public static func holds(_ type: ElementType) -> Bool { descr(type) != nil }

    /// - Parameter declarations: the tensors in their order, of types that NumPy has.
    /// - Throws: `CrayonError` for another type, names that an archive cannot hold, and when the file cannot be created.
    public init(path: String, declarations: [SafetensorsWriter.Declaration]) throws(CrayonError) {
        var heads: [[UInt8]] = []
        var positions: [String: Int] = [:]
        for (index, tensor) in declarations.enumerated() {
            guard let descr = Self.descr(tensor.type) else {
                throw CrayonError(
                    .unsupported, in: path, item: "tensor '\(tensor.name)'",
                    found: "\(tensor.type.rawValue), a type that NumPy does not have",
                    expected: "F64, F32, F16, integers or BOOL", advice: "Convert with --type f32, or to safetensors.")
            }
            heads.append(Self.head(descr, tensor.shape))
            positions[tensor.name] = index
        }
        self.positions = positions
        archive = try StoredZipWriter(
            path: path,
            entries: zip(declarations, heads).map { .init(name: $0.name + ".npy", count: $1.count + $0.byteCount) })
        for (index, head) in heads.enumerated() { try archive.append(head, to: index) }
    }

    /// Version 1.0, padded with spaces such that the elements begin at a multiple of 64 bytes.
    private static func head(_ descr: String, _ shape: Shape) -> [UInt8] {
        let dims = shape.dims.map(String.init).joined(separator: ", ") + (shape.rank == 1 ? "," : "")
        var text = Array("{'descr': '\(descr)', 'fortran_order': False, 'shape': (\(dims)), }".utf8)
        while (10 + text.count + 1) % 64 != 0 { text.append(UInt8(ascii: " ")) }
        text.append(UInt8(ascii: "\n"))
        return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(text.count & 0xFF), UInt8(text.count >> 8)] + text
    }

    /// Appends to a tensor.
    /// - Precondition: the tensor is declared and has room for the bytes.
    public func append(_ bytes: UnsafeRawBufferPointer, to name: String) throws(CrayonError) {
        guard let position = positions[name] else { preconditionFailure("tensor '\(name)' is not declared") }
        try archive.append(bytes, to: position)
    }

    /// - Precondition: every tensor has all of its bytes.
    public func commit() throws(CrayonError) { try archive.commit() }
}

public import Bytes
public import Quantization
public import Tensors

/// One GGUF file, mapped: version 2 or 3, little-endian. Everything its head says is checked once, here, against the file's size; see
/// `Formats/gguf.md` for what is accepted and what is refused.
///
/// Names and rows are the file's own; `GGUFModel` gives them those of a checkpoint.
public struct GGUFFile: SingleFileCheckpoint {
    public let place: String
    /// In the file's order.
    public let metadata: [(name: String, value: GGUFValue)]
    public let mapping: MappedFile
    private let entries: [GGUFHeader.Entry]
    private let positions: [String: Int]
    private let values: [String: Int]

    /// - Throws: `CrayonError` for a file that cannot be read or does not follow the format.
    public init(path: String) throws(CrayonError) {
        try self.init(mapping: MappedFile(path: path))
    }

    public init(mapping: MappedFile) throws(CrayonError) {
        let header = try GGUFHeader(mapping.whole, place: mapping.path)
        place = mapping.path
        metadata = header.metadata
        self.mapping = mapping
        entries = header.entries
        // Names and keys are unique: the header refuses one that comes twice.
        positions = Dictionary(uniqueKeysWithValues: entries.enumerated().map { ($1.name, $0) })
        values = Dictionary(uniqueKeysWithValues: metadata.enumerated().map { ($1.name, $0) })
    }

    /// Whether a file begins as GGUF files do.
    static func begins(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.starts(with: GGUFHeader.magic) }

    public var format: String { "GGUF" }

    public var names: [String] { entries.map(\.name) }

    public func metadata(_ key: String) -> GGUFValue? { values[key].map { metadata[$0].value } }

    /// The tensor as it lies in the file; nil for a name that is not there.
    public func stored(_ name: String) -> GGMLTensor? {
        guard let entry = header(name) else { return nil }
        return GGMLTensor(
            name: name, type: entry.type, shape: entry.shape,
            region: mapping.region(offset: entry.offset, count: entry.byteCount))
    }

    public func entry(_ name: String) -> TensorEntry? {
        header(name).map {
            TensorEntry(
                name: name, type: $0.type.elementType ?? .f32, shape: $0.shape, encoding: $0.type.label,
                byteCount: $0.byteCount, offset: $0.offset)
        }
    }

    /// Over the mapped bytes where elements stand by themselves; otherwise dequantized to float32, by every call.
    public func tensor(_ name: String) -> Tensor? { stored(name)?.dense() }

    public func range(of name: String) -> Range<Int>? {
        header(name).map { $0.offset..<$0.offset + $0.byteCount }
    }

    private func header(_ name: String) -> GGUFHeader.Entry? { positions[name].map { entries[$0] } }
}

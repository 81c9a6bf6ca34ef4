public import Bytes
public import Quantization
public import Tensors

/// A GGUF file, mapped, or all parts of a model in several: version 2 or 3, little-endian. Everything that heads say is checked once, here,
/// against the files' sizes; see `Formats/gguf.md` for what is accepted and what is refused.
///
/// Names and rows are the file's own; `GGUFModel` gives them those of a checkpoint.
public struct GGUFFile: Checkpoint {
    public let place: String
    /// In the order of the first part.
    public let metadata: [(name: String, value: GGUFValue)]
    public let names: [String]
    private let parts: [GGUFPart]
    /// Part and place in it.
    private let positions: [String: (part: Int, entry: Int)]
    private let values: [String: Int]

    /// - Throws: `CrayonError` for a file that cannot be read or does not follow the format.
    public init(path: String) throws(CrayonError) {
        try self.init(mapping: MappedFile(path: path))
    }

    /// - Parameter mapping: the file, or the first of its parts; the others lie beside it.
    public init(mapping: MappedFile) throws(CrayonError) {
        let first = try GGUFPart(mapping: mapping)
        parts = try GGUFSplit(first)?.parts() ?? [first]
        place = mapping.path
        metadata = first.header.metadata
        // Names and keys are unique: each header refuses one that comes twice, and so do the parts together.
        names = parts.flatMap { $0.header.entries.map(\.name) }
        var positions: [String: (part: Int, entry: Int)] = [:]
        for (part, content) in parts.enumerated() {
            for (index, entry) in content.header.entries.enumerated() { positions[entry.name] = (part, index) }
        }
        self.positions = positions
        values = Dictionary(uniqueKeysWithValues: metadata.enumerated().map { ($1.name, $0) })
    }

    /// Whether a file begins as GGUF files do.
    static func begins(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.starts(with: GGUFHeader.magic) }

    public var format: String { "GGUF" }

    public func metadata(_ key: String) -> GGUFValue? { values[key].map { metadata[$0].value } }

    /// The tensor as it lies in the file; nil for a name that is not there.
    public func stored(_ name: String) -> GGMLTensor? {
        guard let (part, entry) = find(name) else { return nil }
        return GGMLTensor(
            name: name, type: entry.type, shape: entry.shape,
            region: part.mapping.region(offset: entry.offset, count: entry.byteCount))
    }

    public func entry(_ name: String) -> TensorEntry? {
        find(name).map { _, entry in
            TensorEntry(
                name: name, type: entry.type.elementType ?? .f32, shape: entry.shape, encoding: entry.type.label,
                byteCount: entry.byteCount, offset: entry.offset)
        }
    }

    /// Over the mapped bytes where elements stand by themselves; otherwise dequantized to float32, by every call.
    public func tensor(_ name: String) -> Tensor? { stored(name)?.dense() }

    public func file(of name: String) -> String { find(name)?.part.mapping.path ?? place }

    public var sourceFiles: [SourceFile] {
        parts.map { SourceFile(path: $0.mapping.path, byteCount: $0.mapping.count) }
    }

    public func willNeed(_ name: String) {
        if let (part, entry) = find(name) { part.mapping.willNeed(offset: entry.offset, count: entry.byteCount) }
    }

    public func dontNeed(_ name: String) {
        if let (part, entry) = find(name) { part.mapping.dontNeed(offset: entry.offset, count: entry.byteCount) }
    }

    public func checkUnchanged() throws(CrayonError) {
        for part in parts { try part.mapping.checkUnchanged() }
    }

    private func find(_ name: String) -> (part: GGUFPart, entry: GGUFHeader.Entry)? {
        positions[name].map { (parts[$0.part], parts[$0.part].header.entries[$0.entry]) }
    }
}

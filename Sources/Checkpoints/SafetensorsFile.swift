public import Bytes
public import Tensors

/// One safetensors file, mapped. Everything the header says is checked once, here, against the file's size;
/// see `Formats/safetensors.md` for what is accepted and what is refused.
public struct SafetensorsFile: SingleFileCheckpoint {
    public let place: String
    /// The string pairs of `__metadata__`, in the file's order.
    public let metadata: [(name: String, value: String)]
    /// Where the data begin, from the start of the file.
    public let dataOffset: Int
    public let mapping: MappedFile
    private let entries: [SafetensorsHeader.Entry]
    private let positions: [String: Int]

    /// - Throws: `CrayonError` for a file that cannot be read or does not follow the format.
    public init(path: String) throws(CrayonError) {
        try self.init(mapping: MappedFile(path: path))
    }

    public init(mapping: MappedFile) throws(CrayonError) {
        let header = try SafetensorsHeader(bytes: mapping.whole.buffer, place: mapping.path)
        place = mapping.path
        metadata = header.metadata
        dataOffset = header.dataOffset
        self.mapping = mapping
        entries = header.entries
        var positions: [String: Int] = [:]
        positions.reserveCapacity(entries.count)
        // Names are unique: the JSON parser refuses an object with a name twice.
        for (index, entry) in entries.enumerated() { positions[entry.name] = index }
        self.positions = positions
    }

    public var format: String { "safetensors" }
    public var names: [String] { entries.map(\.name) }

    public func entry(_ name: String) -> TensorEntry? {
        header(name).map {
            TensorEntry(
                name: name, type: $0.type, shape: $0.shape, encoding: $0.type.rawValue, byteCount: $0.byteCount,
                offset: $0.offset)
        }
    }

    public func tensor(_ name: String) -> Tensor? {
        guard let entry = header(name) else { return nil }
        return Tensor(
            name: name, type: entry.type, shape: entry.shape,
            region: mapping.region(offset: entry.offset, count: entry.byteCount))
    }

    public func metadata(_ name: String) -> String? { metadata.first { $0.name == name }?.value }

    /// Where the tensor's bytes lie in the file; nil for a name that is not there.
    public func range(of name: String) -> Range<Int>? {
        header(name).map { $0.offset..<$0.offset + $0.byteCount }
    }

    private func header(_ name: String) -> SafetensorsHeader.Entry? { positions[name].map { entries[$0] } }
}

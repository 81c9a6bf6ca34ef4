public import Bytes
import JSON
import Synchronization
public import Tensors

/// Writes a safetensors file whose tensors are declared first and filled in any order, from any thread.
///
/// The header follows from the declarations alone, so the same declarations and bytes give the same file.
/// The file appears under its name at `commit`; a writer dropped before that leaves nothing behind.
public final class SafetensorsWriter: Sendable {
    /// A tensor to be written.
    public struct Declaration: Hashable, Sendable {
        public let name: String
        public let type: ElementType
        public let shape: Shape

        public init(name: String, type: ElementType, shape: Shape) {
            self.name = name
            self.type = type
            self.shape = shape
        }

        public init(_ tensor: Tensor) { self.init(name: tensor.name, type: tensor.type, shape: tensor.shape) }

        public var byteCount: Int { shape.count * type.byteCount }
    }

    public let path: String
    public let declarations: [Declaration]
    /// Where the data begin; a multiple of `alignment`.
    public let dataOffset: Int
    /// Bytes of the finished file.
    public let byteCount: Int
    private let file: AtomicFile
    private let offsets: [String: (offset: Int, count: Int)]
    private let remaining: Atomic<Int>

    /// - Parameters:
    ///   - declarations: the tensors in the order of their bytes; names are unique.
    ///   - metadata: the pairs of `__metadata__`, in order; none at all when empty.
    ///   - alignment: the data begin at a multiple of it; the header is padded with spaces.
    ///   - kept: where the bytes go before `commit`, to be found again by a run that goes on; see `AtomicFile`.
    /// - Throws: `CrayonError` when a name is given twice, the header is larger than readers take, or the
    ///   file cannot be created.
    public init(
        path: String, declarations: [Declaration], metadata: [(name: String, value: String)] = [("format", "pt")],
        alignment: Int = 8, keptAt kept: String? = nil
    ) throws(CrayonError) {
        precondition(alignment > 0)
        self.path = path
        self.declarations = declarations
        var header = JSONObject()
        if !metadata.isEmpty {
            var pairs = JSONObject()
            for (name, value) in metadata { pairs[name] = .string(value) }
            header["__metadata__"] = .object(pairs)
        }
        var positions: [String: (offset: Int, count: Int)] = [:]
        var end = 0
        for declaration in declarations {
            guard header[declaration.name] == nil, declaration.name != "__metadata__" else {
                throw CrayonError(
                    .usage, in: path, item: "tensor '\(declaration.name)'", found: "a name that is already taken",
                    expected: "names that are unique")
            }
            let (next, overflow) = end.addingReportingOverflow(declaration.byteCount)
            guard !overflow else {
                throw CrayonError(.usage, in: path, item: "tensor '\(declaration.name)'", found: "too many bytes")
            }
            header[declaration.name] = [
                "dtype": .string(declaration.type.rawValue),
                "shape": .array(declaration.shape.dims.map(JSONValue.int)),
                "data_offsets": [.int(end), .int(next)],
            ]
            positions[declaration.name] = (end, declaration.byteCount)
            end = next
        }
        var text = Array(JSONValue.object(header).text(style: .compact).utf8)
        while (8 + text.count) % alignment != 0 { text.append(UInt8(ascii: " ")) }
        guard text.count <= SafetensorsHeader.byteLimit else {
            throw CrayonError(
                .unsupported, in: path, item: "header", found: "\(text.count) bytes",
                expected: "at most \(SafetensorsHeader.byteLimit)")
        }
        dataOffset = 8 + text.count
        byteCount = dataOffset + end
        offsets = positions
        remaining = Atomic(end)
        file = try AtomicFile(path: path, keptAt: kept)
        let length = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
        try file.write(length + text, at: 0)
    }

    /// Writes a run of a tensor's bytes, `offset` from its first. Safe from several threads for disjoint runs.
    /// - Precondition: the tensor is declared and the run lies inside it.
    public func write(_ bytes: UnsafeRawBufferPointer, of name: String, at offset: Int = 0) throws(CrayonError) {
        guard let place = offsets[name] else { preconditionFailure("tensor '\(name)' is not declared") }
        precondition(offset >= 0 && offset <= place.count && bytes.count <= place.count - offset)
        try file.write(bytes, at: dataOffset + place.offset + offset)
        remaining.subtract(bytes.count, ordering: .relaxed)
    }

    /// Writes a whole tensor as it was declared.
    /// - Precondition: type and shape are those declared.
    public func write(_ tensor: Tensor) throws(CrayonError) {
        precondition(offsets[tensor.name]?.count == tensor.region.count)
        try write(tensor.region.buffer, of: tensor.name)
    }

    /// Whether the kept file is long enough to have a tensor that an earlier run wrote. One that is not is another: the run
    /// was over, and the file had come into place.
    public func holds(_ name: String) -> Bool {
        guard let place = offsets[name] else { preconditionFailure("tensor '\(name)' is not declared") }
        return place.count == 0 || file.keptCount >= dataOffset + place.offset + place.count
    }

    /// Takes a tensor for written: an earlier run wrote it to the same kept file.
    /// - Precondition: the tensor is declared, and nothing of it has been written.
    public func skip(_ name: String) {
        guard let place = offsets[name] else { preconditionFailure("tensor '\(name)' is not declared") }
        remaining.subtract(place.count, ordering: .relaxed)
    }

    /// Waits until everything written so far is on disk; see `AtomicFile.flush`.
    public func flush() throws(CrayonError) { try file.flush() }

    /// Makes the file durable and visible.
    /// - Precondition: every byte of every tensor has been written, once.
    public func commit() throws(CrayonError) {
        precondition(remaining.load(ordering: .acquiring) == 0, "tensors of '\(path)' were not written in full")
        try file.commit()
    }

    /// Writes tensors that are all at hand.
    public static func write(
        _ tensors: [Tensor], to path: String, metadata: [(name: String, value: String)] = [("format", "pt")]
    ) throws(CrayonError) {
        let writer = try SafetensorsWriter(path: path, declarations: tensors.map(Declaration.init), metadata: metadata)
        for tensor in tensors { try writer.write(tensor) }
        try writer.commit()
    }
}

public import Bytes
import JSON
import Tensors

/// Writes a safetensors file in which small tensors are known only at the end, with their sizes: the texts that describe quantized
/// weights, say, which hold a mean over all of a weight.
///
/// Room for the largest header that can come is left at the front; the header is written last and padded with spaces. The late tensors lie
/// behind the others. The file appears under its name at `commit`.
public final class LateSafetensorsWriter {
    /// A vector of bytes that is given later.
    public struct Late: Sendable {
        public let name: String
        /// Most bytes that it may have.
        public let limit: Int

        public init(name: String, limit: Int) {
            self.name = name
            self.limit = limit
        }
    }

    public let path: String
    private let file: AtomicFile
    private let declarations: [SafetensorsWriter.Declaration]
    private let late: [Late]
    private var texts: [String: [UInt8]] = [:]
    private let offsets: [String: Int]
    private let dataOffset: Int
    private let end: Int

    /// - Parameter declarations: the tensors of known size in the order of their bytes.
    /// - Throws: `CrayonError` when a name is given twice, the header is larger than readers take, or the file cannot be created.
    public init(path: String, declarations: [SafetensorsWriter.Declaration], late: [Late]) throws(CrayonError) {
        self.path = path
        self.declarations = declarations
        self.late = late
        var offsets: [String: Int] = [:]
        var end = 0
        for declaration in declarations {
            offsets[declaration.name] = end
            end += declaration.byteCount
        }
        guard Set(declarations.map(\.name) + late.map(\.name)).count == declarations.count + late.count else {
            throw CrayonError(
                .usage, in: path, found: "a name that two tensors would have", expected: "names that are unique")
        }
        self.offsets = offsets
        self.end = end
        let room = Self.header(declarations, late.map { ($0.name, $0.limit) })
        // 8 bytes of length, and data at a multiple of 8.
        dataOffset = (8 + room.count + 7) / 8 * 8
        guard dataOffset <= SafetensorsHeader.byteLimit else {
            throw CrayonError(
                .unsupported, in: path, item: "header", found: "\(room.count) bytes",
                expected: "at most \(SafetensorsHeader.byteLimit)")
        }
        file = try AtomicFile(path: path)
    }

    /// Writes a run of a declared tensor's bytes. Safe from several threads for disjoint runs.
    public func write(_ bytes: UnsafeRawBufferPointer, of name: String, at offset: Int = 0) throws(CrayonError) {
        guard let place = offsets[name] else { preconditionFailure("tensor '\(name)' is not declared") }
        try file.write(bytes, at: dataOffset + place + offset)
    }

    /// Gives a late tensor.
    /// - Precondition: it was announced, and is no longer than was said.
    public func setLate(_ bytes: [UInt8], of name: String) {
        guard let slot = late.first(where: { $0.name == name }) else {
            preconditionFailure("tensor '\(name)' is not announced")
        }
        precondition(bytes.count <= slot.limit)
        texts[name] = bytes
    }

    /// - Precondition: everything has been written.
    public func commit() throws(CrayonError) {
        precondition(texts.count == late.count)
        var place = end
        for slot in late {
            try file.write(texts[slot.name] ?? [], at: dataOffset + place)
            place += texts[slot.name]?.count ?? 0
        }
        var text = Self.header(declarations, late.map { ($0.name, texts[$0.name]?.count ?? 0) })
        text += [UInt8](repeating: UInt8(ascii: " "), count: dataOffset - 8 - text.count)
        try file.write((0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) } + text, at: 0)
        try file.commit()
    }

    /// Never longer than for larger sizes of the late tensors.
    private static func header(
        _ declarations: [SafetensorsWriter.Declaration], _ late: [(name: String, count: Int)]
    ) -> [UInt8] {
        var header = JSONObject(["__metadata__": ["format": "pt"]])
        var end = 0
        func add(_ name: String, _ type: ElementType, _ dims: [Int], _ count: Int) {
            header[name] = [
                "dtype": .string(type.rawValue), "shape": .array(dims.map(JSONValue.int)),
                "data_offsets": [.int(end), .int(end + count)],
            ]
            end += count
        }
        for tensor in declarations { add(tensor.name, tensor.type, tensor.shape.dims, tensor.byteCount) }
        for tensor in late { add(tensor.name, .u8, [tensor.count], tensor.count) }
        return Array(JSONValue.object(header).text(style: .compact).utf8)
    }
}

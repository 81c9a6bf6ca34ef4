import Bytes
import Quantization
import Tensors

/// The validated head of a GGUF file: metadata, and tensors that lie one after the other inside the file.
struct GGUFHeader: Sendable {
    struct Entry: Sendable {
        let name: String
        let type: GGMLType
        /// Outermost first; the file has them innermost first.
        let shape: Shape
        /// From the start of the file.
        var offset: Int
        let byteCount: Int
    }

    static let magic = Array("GGUF".utf8)
    static let alignmentKey = "general.alignment"
    /// Where nothing is said.
    static let defaultAlignment = 32
    /// GGML's limits, its terminating zero taken off.
    static let nameLimit = 63
    static let rankLimit = 4

    private(set) var version: Int
    /// In the order of the file.
    private(set) var metadata: [(name: String, value: GGUFValue)] = []
    private(set) var entries: [Entry] = []
    private(set) var alignment = defaultAlignment

    /// - Parameter file: the whole file.
    init(_ file: ByteRegion, place: String) throws(CrayonError) {
        var cursor = GGUFCursor(file, place: place)
        version = try Self.readVersion(&cursor)
        // A tensor has at least a length, a number of dimensions, a type and an offset; a pair a length, a type and a byte.
        let tensorCount = try cursor.count(of: "number of tensors", leastBytes: 24)
        let pairCount = try cursor.count(of: "number of metadata", leastBytes: 13)
        try readMetadata(pairCount, &cursor)
        var offsets: [UInt64] = []
        try readEntries(tensorCount, &cursor, &offsets)
        if tensorCount > 0 { try cursor.align(to: alignment, of: "padding before the tensors") }
        try arrange(offsets, start: cursor.offset, size: file.count, in: place)
    }

    private static func readVersion(_ cursor: inout GGUFCursor) throws(CrayonError) -> Int {
        let found = try cursor.bytes(4, of: "magic")
        guard found.array == magic else {
            throw CrayonError(
                .malformed, in: cursor.place, item: "magic",
                found: found.array.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined(
                    separator: " "),
                expected: "'GGUF'")
        }
        let version = try cursor.integer(UInt32.self, of: "version")
        switch version {
        case 2, 3: return Int(version)
        case 0x0200_0000, 0x0300_0000:
            throw CrayonError(
                .unsupported, in: cursor.place, item: "version",
                found: "\(version.byteSwapped) with its bytes the other way round: a big-endian file",
                expected: "a little-endian file", advice: "Convert it with gguf's gguf_convert_endian.")
        case 1:
            throw CrayonError(
                .unsupported, in: cursor.place, item: "version", found: "1", expected: "2 or 3",
                advice: "Convert the model again; llama.cpp does not read it either.")
        default:
            throw CrayonError(
                .unsupported, in: cursor.place, item: "version", found: "\(version)", expected: "2 or 3")
        }
    }

    private mutating func readMetadata(_ count: Int, _ cursor: inout GGUFCursor) throws(CrayonError) {
        var taken: Set<String> = []
        for index in 0..<count {
            let key = try cursor.name(of: "key \(index)")
            let item = "key '\(key)'"
            guard !key.isEmpty, taken.insert(key).inserted else {
                throw CrayonError(
                    .malformed, in: cursor.place, item: item,
                    found: key.isEmpty ? "an empty key" : "a key that is taken",
                    expected: "keys that differ")
            }
            let type = try cursor.valueType(of: item)
            let value = try cursor.value(type, of: item, depth: 0)
            metadata.append((key, value))
            guard key == Self.alignmentKey else { continue }
            guard type == .uint32, let bytes = value.integer, bytes > 0, bytes & (bytes - 1) == 0 else {
                throw CrayonError(
                    .malformed, in: cursor.place, item: item, found: value.integer.map { "\($0)" } ?? value.kind,
                    expected: "a power of two, as uint32")
            }
            alignment = bytes
        }
    }

    private mutating func readEntries(
        _ count: Int, _ cursor: inout GGUFCursor, _ offsets: inout [UInt64]
    ) throws(CrayonError) {
        var taken: Set<String> = []
        for index in 0..<count {
            let name = try cursor.name(of: "name of tensor \(index)")
            let item = "tensor '\(name)'"
            guard name.utf8.count <= Self.nameLimit else {
                throw CrayonError(
                    .malformed, in: cursor.place, item: "name of tensor \(index)", found: "\(name.utf8.count) bytes",
                    expected: "at most \(Self.nameLimit), GGML's limit")
            }
            guard taken.insert(name).inserted else {
                throw CrayonError(
                    .malformed, in: cursor.place, item: item, found: "a name that is taken",
                    expected: "names that differ")
            }
            let shape = try readShape(&cursor, item)
            let type = try readType(&cursor, item)
            let row = shape.dims.last ?? 1
            guard row % type.blockElements == 0 else {
                throw CrayonError(
                    .malformed, in: cursor.place, item: item, found: "rows of \(row)",
                    expected: "a multiple of \(type.blockElements), a block of \(type.label)")
            }
            guard let byteCount = type.byteCount(of: shape.count) else {
                throw CrayonError(
                    .malformed, in: cursor.place, item: item, found: "shape \(shape)",
                    expected: "a size in bytes below 2^63")
            }
            offsets.append(try cursor.integer(UInt64.self, of: "offset of \(item)"))
            entries.append(Entry(name: name, type: type, shape: shape, offset: 0, byteCount: byteCount))
        }
    }

    private func readShape(_ cursor: inout GGUFCursor, _ item: String) throws(CrayonError) -> Shape {
        let rank = try cursor.integer(UInt32.self, of: "dimensions of \(item)")
        guard rank <= Self.rankLimit else {
            throw CrayonError(
                .malformed, in: cursor.place, item: "dimensions of \(item)", found: "\(rank)",
                expected: "at most \(Self.rankLimit)")
        }
        var extents: [UInt64] = []
        for _ in 0..<rank { extents.append(try cursor.integer(of: "shape of \(item)")) }
        let dims = extents.reversed().compactMap { Int(exactly: $0) }
        guard dims.count == Int(rank), let shape = Shape(checking: dims) else {
            throw CrayonError(
                .malformed, in: cursor.place, item: "shape of \(item)", found: "\(extents)",
                expected: "a number of elements below 2^63")
        }
        return shape
    }

    private func readType(_ cursor: inout GGUFCursor, _ item: String) throws(CrayonError) -> GGMLType {
        let number = try cursor.integer(UInt32.self, of: "type of \(item)")
        if let type = GGMLType(rawValue: number) { return type }
        let known = GGMLType.allCases.map(\.label).joined(separator: ", ")
        throw CrayonError(
            .unsupported, in: cursor.place, item: "type of \(item)",
            found: "\(number)" + (GGMLType.unreadName(number).map { " (\($0))" } ?? ""), expected: "one of \(known)",
            advice: "Convert the unquantized model, or one in another type.")
    }

    /// Tensors follow one another in the order of their entries, each on the next multiple of the alignment, as GGML wants it.
    private mutating func arrange(
        _ offsets: [UInt64], start: Int, size: Int, in place: String
    ) throws(CrayonError) {
        var end = 0
        for index in entries.indices {
            let entry = entries[index]
            guard offsets[index] == UInt64(end) else {
                throw CrayonError(
                    .malformed, in: place, item: "offset of tensor '\(entry.name)'", found: "\(offsets[index])",
                    expected: "\(end): tensors follow one another at multiples of \(alignment) bytes")
            }
            // `end` is at most a padded size more than the file's, so nothing here overflows.
            guard entry.byteCount <= size - start - end else {
                throw CrayonError(
                    .malformed, in: place, item: "tensor '\(entry.name)'",
                    found: "\(entry.byteCount) bytes from byte \(start + end) on in a file of \(size)",
                    expected: "data inside the file", advice: "Download or copy the file again.")
            }
            entries[index].offset = start + end
            end += entry.byteCount
            end += (alignment - end % alignment) % alignment
        }
    }
}

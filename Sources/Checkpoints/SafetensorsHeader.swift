import Bytes
import JSON
import Tensors

/// The validated header of a safetensors file: every entry lies inside the data, sizes follow from type
/// and shape, and the entries cover the data without holes or overlaps.
struct SafetensorsHeader: Sendable {
    struct Entry: Sendable {
        var name: String
        var type: ElementType
        var shape: Shape
        /// From the start of the file.
        var offset: Int
        var byteCount: Int
    }

    /// The limit of the reference implementation (Rust, `MAX_HEADER_SIZE`).
    static let byteLimit = 100_000_000
    /// A header nests three deep (object, entry, shape); more is no header.
    static let depthLimit = 8

    /// In the order of the header.
    private(set) var entries: [Entry] = []
    private(set) var metadata: [(name: String, value: String)] = []
    /// Where the data begin.
    private(set) var dataOffset: Int

    /// - Parameter bytes: the whole file.
    init(bytes: UnsafeRawBufferPointer, place: String) throws(CrayonError) {
        guard bytes.count >= 8 else {
            throw CrayonError(
                .malformed, in: place, found: "a file of \(bytes.count) bytes",
                expected: "safetensors, which begins with an 8-byte header length",
                advice: Self.advice(on: bytes))
        }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard length <= Self.byteLimit else {
            throw CrayonError(
                .malformed, in: place, item: "header length", found: "\(length) bytes",
                expected: "at most \(Self.byteLimit)", advice: Self.advice(on: bytes))
        }
        let headerCount = Int(length)
        guard headerCount <= bytes.count - 8 else {
            throw CrayonError(
                .malformed, in: place, item: "header length", found: "\(headerCount) bytes",
                expected: "at most the \(bytes.count - 8) that follow it", advice: Self.advice(on: bytes))
        }
        dataOffset = 8 + headerCount
        let text = UnsafeRawBufferPointer(rebasing: bytes[8..<dataOffset])
        guard text.first == UInt8(ascii: "{") else {
            throw CrayonError(
                .malformed, in: place, item: "header",
                found: text.isEmpty ? "no text" : "first byte 0x\(String(text[0], radix: 16))", expected: "'{'",
                advice: Self.advice(on: bytes))
        }
        let root: JSONValue
        do {
            root = try JSONValue.parse(
                text, name: place, limits: .init(depth: Self.depthLimit, bytes: Self.byteLimit))
        } catch {
            var error = error
            error.item = "header" + (error.item.map { ", \($0)" } ?? "")
            throw error
        }
        let reader = try JSONReader(root, place: place)
        let dataCount = bytes.count - dataOffset
        entries.reserveCapacity(reader.object.count)
        for (name, value) in reader.object.members {
            if name == "__metadata__" {
                metadata = try Self.metadata(value, place: place)
            } else {
                entries.append(
                    try Self.entry(name, value, dataOffset: dataOffset, dataCount: dataCount, place: place))
            }
        }
        try checkCoverage(dataCount: dataCount, place: place)
    }

    private static func metadata(
        _ value: JSONValue, place: String
    ) throws(CrayonError) -> [(name: String, value: String)] {
        let reader = try JSONReader(value, place: place, path: "__metadata__")
        var pairs: [(name: String, value: String)] = []
        for (name, value) in reader.object.members {
            guard case .string(let text) = value else {
                throw CrayonError(
                    .malformed, in: place, item: "key '__metadata__.\(name)'", found: value.kind,
                    expected: "a string")
            }
            pairs.append((name, text))
        }
        return pairs
    }

    private static func entry(
        _ name: String, _ value: JSONValue, dataOffset: Int, dataCount: Int, place: String
    ) throws(CrayonError) -> Entry {
        let item = "tensor '\(name)'"
        func refuse(_ found: String, _ expected: String, _ code: CrayonError.Code = .malformed) -> CrayonError {
            CrayonError(code, in: place, item: item, found: found, expected: expected)
        }
        guard case .object(let object) = value else { throw refuse(value.kind, "an object") }
        guard case .string(let typeName)? = object["dtype"] else {
            throw refuse("dtype is \(object["dtype"]?.kind ?? "absent")", "the name of an element type")
        }
        guard let type = ElementType(rawValue: typeName) else {
            throw refuse(
                "element type '\(typeName.prefix(40))'",
                "one of " + ElementType.allCases.map(\.rawValue).joined(separator: ", "), .unsupported)
        }
        func integers(_ key: String) throws(CrayonError) -> [Int] {
            guard case .array(let elements)? = object[key] else {
                throw refuse("\(key) is \(object[key]?.kind ?? "absent")", "an array of integers")
            }
            var values: [Int] = []
            values.reserveCapacity(elements.count)
            for element in elements {
                guard case .number(let number) = element, let value = number.int, value >= 0 else {
                    throw refuse("\(key) has \(element.kind)", "integers from 0 to \(Int.max)")
                }
                values.append(value)
            }
            return values
        }
        let dims = try integers("shape")
        guard let shape = Shape(checking: dims) else {
            throw refuse("a shape of more elements than 64 bits can count", "a shape that fits the file")
        }
        let (byteCount, overflow) = shape.count.multipliedReportingOverflow(by: type.byteCount)
        guard !overflow else {
            throw refuse("shape \(shape), of more bytes than 64 bits can count", "a shape that fits the file")
        }
        let offsets = try integers("data_offsets")
        guard offsets.count == 2 else { throw refuse("\(offsets.count) data_offsets", "two, begin and end") }
        guard offsets[0] <= offsets[1] else {
            throw refuse("data_offsets [\(offsets[0]), \(offsets[1])]", "an end that is not before the begin")
        }
        guard offsets[1] - offsets[0] == byteCount else {
            throw refuse(
                "data_offsets of \(offsets[1] - offsets[0]) bytes",
                "\(byteCount) for shape \(shape) of \(type.rawValue)")
        }
        guard offsets[1] <= dataCount else {
            throw CrayonError(
                .malformed, in: place, item: item, found: "data_offsets end at \(offsets[1])",
                expected: "at most the \(dataCount) bytes of data",
                advice: "The file is cut short or its header is wrong; copy or download it again.")
        }
        return Entry(name: name, type: type, shape: shape, offset: dataOffset + offsets[0], byteCount: byteCount)
    }

    /// Sorted by place, each entry begins where the one before it ends, and the last ends with the file.
    private func checkCoverage(dataCount: Int, place: String) throws(CrayonError) {
        let order = entries.indices.sorted {
            (entries[$0].offset, entries[$0].byteCount) < (entries[$1].offset, entries[$1].byteCount)
        }
        var end = dataOffset
        var previous: String?
        for index in order {
            let entry = entries[index]
            guard entry.offset == end else {
                let before = previous.map { "tensor '\($0)'" } ?? "the header"
                throw CrayonError(
                    .malformed, in: place, item: "tensor '\(entry.name)'",
                    found: entry.offset < end
                        ? "data that overlap \(before) by \(end - entry.offset) bytes"
                        : "a hole of \(entry.offset - end) bytes between \(before) and its data",
                    expected: "data_offsets that begin at \(end - dataOffset)")
            }
            end = entry.offset + entry.byteCount
            previous = entry.name
        }
        guard end == dataOffset + dataCount else {
            throw CrayonError(
                .malformed, in: place, found: "\(dataOffset + dataCount - end) bytes after the last tensor",
                expected: "a file of \(end) bytes", advice: "Copy or download the file again.")
        }
    }

    /// What a file that is no safetensors file probably is.
    private static func advice(on bytes: UnsafeRawBufferPointer) -> String {
        func begins(_ text: StaticString) -> Bool {
            bytes.count >= text.utf8CodeUnitCount
                && (0..<text.utf8CodeUnitCount).allSatisfy { bytes[$0] == text.utf8Start[$0] }
        }
        if begins("version https://git-lfs") {
            return "This is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'."
        }
        if begins("PK") {
            return "This looks like a PyTorch file or a NumPy archive, where a safetensors file is needed."
        }
        if begins("GGUF") { return "This is a GGUF file; give the safetensors checkpoint instead." }
        return "If this should be a safetensors file, copy or download it again."
    }
}

import Bytes

/// Reads the head of a GGUF file in its order, little-endian, trusting nothing: whatever a count says, it is held against the bytes
/// that are left before anything is done with it.
struct GGUFCursor {
    let place: String
    private let region: ByteRegion
    private(set) var offset = 0

    /// Arrays in arrays; real files have none.
    private static let depthLimit = 8

    init(_ region: ByteRegion, place: String) {
        self.region = region
        self.place = place
    }

    var remaining: Int { region.count - offset }

    /// - Parameter item: what is being read, for errors.
    mutating func integer<T: FixedWidthInteger>(_ type: T.Type = T.self, of item: String) throws(CrayonError) -> T {
        let size = MemoryLayout<T>.size
        guard remaining >= size else { throw truncated(item, size) }
        defer { offset += size }
        return T(littleEndian: region.buffer.loadUnaligned(fromByteOffset: offset, as: T.self))
    }

    /// A count of things of at least so many bytes each.
    mutating func count(of item: String, leastBytes: Int) throws(CrayonError) -> Int {
        let value = try integer(UInt64.self, of: item)
        guard value <= UInt64(remaining / leastBytes) else {
            throw CrayonError(
                .malformed, in: place, item: item, found: "\(value)",
                expected: "at most \(remaining / leastBytes), for which \(remaining) bytes are left")
        }
        return Int(value)
    }

    mutating func bytes(_ count: Int, of item: String) throws(CrayonError) -> ByteRegion {
        guard count <= remaining else { throw truncated(item, count) }
        defer { offset += count }
        return region.slice(offset: offset, count: count)
    }

    /// The bytes of a text, after their number.
    mutating func text(of item: String) throws(CrayonError) -> ByteRegion {
        let length = try integer(UInt64.self, of: "length of \(item)")
        guard length <= UInt64(remaining) else {
            throw CrayonError(
                .malformed, in: place, item: "length of \(item)", found: "\(length)",
                expected: "at most the \(remaining) bytes that are left")
        }
        return try bytes(Int(length), of: item)
    }

    /// A name, which must be UTF-8.
    mutating func name(of item: String) throws(CrayonError) -> String {
        let bytes = try text(of: item)
        guard let name = String(validating: bytes.buffer, as: UTF8.self) else {
            throw CrayonError(.malformed, in: place, item: item, found: "bytes that are no UTF-8", expected: "a name")
        }
        return name
    }

    mutating func value(_ type: GGUFValueType, of item: String, depth: Int) throws(CrayonError) -> GGUFValue {
        switch type {
        case .uint8: return .integer(Int64(try integer(UInt8.self, of: item)))
        case .int8: return .integer(Int64(try integer(Int8.self, of: item)))
        case .uint16: return .integer(Int64(try integer(UInt16.self, of: item)))
        case .int16: return .integer(Int64(try integer(Int16.self, of: item)))
        case .uint32: return .integer(Int64(try integer(UInt32.self, of: item)))
        case .int32: return .integer(Int64(try integer(Int32.self, of: item)))
        case .int64: return .integer(try integer(of: item))
        case .uint64:
            let value = try integer(UInt64.self, of: item)
            return Int64(exactly: value).map { .integer($0) } ?? .large(value)
        case .float32: return .number(Double(Float(bitPattern: try integer(of: item))))
        case .float64: return .number(Double(bitPattern: try integer(of: item)))
        // Any byte but 0 is true, as GGML reads it.
        case .bool: return .bool(try integer(UInt8.self, of: item) != 0)
        case .string: return .string(try text(of: item))
        case .array: return .array(try array(of: item, depth: depth))
        }
    }

    mutating func valueType(of item: String) throws(CrayonError) -> GGUFValueType {
        let number = try integer(UInt32.self, of: "type of \(item)")
        guard let type = GGUFValueType(rawValue: number) else {
            throw CrayonError(
                .malformed, in: place, item: "type of \(item)", found: "\(number)", expected: "0 to 12")
        }
        return type
    }

    private mutating func array(of item: String, depth: Int) throws(CrayonError) -> GGUFArray {
        guard depth < Self.depthLimit else {
            throw CrayonError(
                .unsupported, in: place, item: item, found: "arrays in arrays more than \(Self.depthLimit) deep",
                expected: "plain arrays")
        }
        let type = try valueType(of: item)
        // An array in an array has a type and a count, a text a length.
        let least = type.byteCount ?? (type == .string ? 8 : 12)
        let count = try count(of: "number of elements of \(item)", leastBytes: least)
        let start = offset
        if let size = type.byteCount {
            offset += count * size
        } else {
            for _ in 0..<count { _ = try value(type, of: item, depth: depth + 1) }
        }
        return GGUFArray(
            elementType: type, count: count, place: place,
            region: region.slice(offset: start, count: offset - start))
    }

    mutating func align(to alignment: Int, of item: String) throws(CrayonError) {
        let past = offset % alignment
        if past > 0 { _ = try bytes(alignment - past, of: item) }
    }

    private func truncated(_ item: String, _ count: Int) -> CrayonError {
        CrayonError(
            .malformed, in: place, item: item, found: "the end of the file at byte \(region.count)",
            expected: "\(count) bytes from byte \(offset) on", advice: "Download or copy the file again.")
    }
}

public import Bytes

/// Where the elements of a JSON array lie in a file, found by one pass and parsed when they are asked for: a file of
/// gigabytes is a list of places, 16 bytes for each record.
public struct JSONArrayIndex: Sendable {
    /// The file, as the user named it.
    public let name: String
    /// The key under which the array stands; empty for an array that is the whole file.
    public let key: String
    private let region: ByteRegion
    private let starts: [Int]
    private let lengths: [UInt32]

    init(_ region: ByteRegion, name: String, key: String, starts: [Int], lengths: [UInt32]) {
        self.region = region
        self.name = name
        self.key = key
        self.starts = starts
        self.lengths = lengths
    }

    public var count: Int { starts.count }

    /// What errors call an element: `annotations[7]`, or `[7]` of a file that is an array.
    public func path(_ index: Int) -> String { "\(key)[\(index)]" }

    /// The element, parsed with all the parser's strictness.
    /// - Throws: `CrayonError` naming the file and the place in it.
    public func value(_ index: Int, limits: JSONValue.Limits = .init()) throws(CrayonError) -> JSONValue {
        try JSONValue.parse(bytes(index), name: name, limits: limits, base: starts[index])
    }

    /// The element, which must be an object.
    public func reader(_ index: Int, limits: JSONValue.Limits = .init()) throws(CrayonError) -> JSONReader {
        try JSONReader(value(index, limits: limits), place: name, path: path(index))
    }

    /// Some members of the element, the others passed over without being parsed; nil for one that is no object.
    public func members(_ index: Int, named names: Set<String>) throws(CrayonError) -> JSONReader? {
        var scanner = JSONScanner(bytes(index).buffer, name: name, base: starts[index])
        guard scanner.isAtObject else { return nil }
        var object = JSONObject()
        try scanner.members { (member, range) throws(CrayonError) in
            guard names.contains(member) else { return }
            object[member] = try JSONValue.parse(
                bytes(index).slice(offset: range.lowerBound, count: range.count), name: name,
                base: starts[index] + range.lowerBound)
        }
        return JSONReader(object, place: name, path: path(index))
    }

    private func bytes(_ index: Int) -> ByteRegion { region.slice(offset: starts[index], count: Int(lengths[index])) }
}

/// A large JSON file, seen from above: its arrays as indices, its other members when they are asked for.
public struct JSONFileIndex: Sendable {
    public let name: String
    /// The file's array, where it is one.
    public private(set) var elements: JSONArrayIndex?
    private let region: ByteRegion
    private var arrays: [String: JSONArrayIndex] = [:]
    private var others: [String: Range<Int>] = [:]

    /// Goes once over the file. Only its bones are checked here: brackets, strings, commas; `JSONArrayIndex.value` checks
    /// the rest of a record.
    /// - Throws: `CrayonError` for text that is no array or object, or whose bones are broken.
    public init(file: MappedFile) throws(CrayonError) {
        try self.init(file.whole, name: file.path)
        // One pass over gigabytes must not push out what others need.
        file.dontNeed(offset: 0, count: file.count)
    }

    public init(_ region: ByteRegion, name: String) throws(CrayonError) {
        self.region = region
        self.name = name
        var scanner = JSONScanner(region.buffer, name: name)
        if scanner.isAtObject {
            try scanner.members { (member, range) throws(CrayonError) in
                guard arrays[member] == nil, others[member] == nil else {
                    throw CrayonError(
                        .malformed, in: name, item: "key '\(member)'", found: "the name twice in one object")
                }
                let start = region.buffer[range.lowerBound]
                guard start == UInt8(ascii: "[") else {
                    others[member] = range
                    return
                }
                var inner = JSONScanner(region.buffer, name: name, position: range.lowerBound)
                arrays[member] = try Self.index(&inner, region, name: name, key: member)
            }
        } else if scanner.isAtArray {
            elements = try Self.index(&scanner, region, name: name, key: "")
        } else {
            throw CrayonError(
                .malformed, in: name, found: "neither an array nor an object", expected: "JSON of records")
        }
        try scanner.finish()
    }

    /// The array under a key.
    /// - Throws: `CrayonError` where there is none.
    public func array(_ key: String) throws(CrayonError) -> JSONArrayIndex {
        if let array = arrays[key] { return array }
        throw CrayonError(
            .missing, in: name, item: "key '\(key)'", found: others[key] == nil ? "nothing" : "no array",
            expected: "an array")
    }

    public func has(_ key: String) -> Bool { arrays[key] != nil || others[key] != nil }

    private static func index(
        _ scanner: inout JSONScanner, _ region: ByteRegion, name: String, key: String
    ) throws(CrayonError) -> JSONArrayIndex {
        var starts: [Int] = []
        var lengths: [UInt32] = []
        try scanner.elements { (range) throws(CrayonError) in
            guard let length = UInt32(exactly: range.count) else {
                throw CrayonError(
                    .unsupported, in: name, item: "\(key)[\(starts.count)]", found: "a record of \(range.count) bytes",
                    expected: "less than 4 GiB")
            }
            starts.append(range.lowerBound)
            lengths.append(length)
        }
        return JSONArrayIndex(region, name: name, key: key, starts: starts, lengths: lengths)
    }
}

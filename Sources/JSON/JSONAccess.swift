public import Bytes

/// A JSON object together with where it came from, so that a wrong or missing member is an error that
/// names file and key.
public struct JSONReader: Sendable {
    public let object: JSONObject
    /// The file, as the user named it.
    public let place: String
    /// The keys that lead to `object`, joined with dots; empty at the top.
    public let path: String

    public init(_ object: JSONObject, place: String, path: String = "") {
        self.object = object
        self.place = place
        self.path = path
    }

    /// Parses a file that must hold an object.
    public init(file: String, limits: JSONValue.Limits = .init()) throws(CrayonError) {
        try self.init(JSONValue.parse(file: file, limits: limits), place: file)
    }

    public init(_ value: JSONValue, place: String, path: String = "") throws(CrayonError) {
        guard case .object(let object) = value else {
            throw CrayonError(
                .malformed, in: place, item: path.isEmpty ? nil : "key '\(path)'", found: value.kind,
                expected: "an object")
        }
        self.init(object, place: place, path: path)
    }

    private func full(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    private func value<T>(_ key: String, _ expected: String, _ convert: (JSONValue) -> T?) throws(CrayonError) -> T? {
        guard let value = object[key], value != .null else { return nil }
        guard let converted = convert(value) else {
            throw CrayonError(
                .malformed, in: place, item: "key '\(full(key))'", found: value.kind, expected: expected)
        }
        return converted
    }

    private func required<T>(_ value: T?, _ key: String, _ expected: String) throws(CrayonError) -> T {
        guard let value else {
            throw CrayonError(.missing, in: place, item: "key '\(full(key))'", found: "nothing", expected: expected)
        }
        return value
    }

    /// An absent key and an explicit null both give nil.
    public func optionalInt(_ key: String) throws(CrayonError) -> Int? {
        try value(key, "an integer") { if case .number(let number) = $0 { number.int } else { nil } }
    }
    public func optionalDouble(_ key: String) throws(CrayonError) -> Double? {
        try value(key, "a number") { if case .number(let number) = $0 { number.double } else { nil } }
    }
    public func optionalBool(_ key: String) throws(CrayonError) -> Bool? {
        try value(key, "true or false") { if case .bool(let flag) = $0 { flag } else { nil } }
    }
    public func optionalString(_ key: String) throws(CrayonError) -> String? {
        try value(key, "a string") { if case .string(let string) = $0 { string } else { nil } }
    }
    public func optionalArray(_ key: String) throws(CrayonError) -> [JSONValue]? {
        try value(key, "an array") { if case .array(let elements) = $0 { elements } else { nil } }
    }
    public func optionalObject(_ key: String) throws(CrayonError) -> JSONReader? {
        guard
            let object: JSONObject = try value(
                key, "an object", { if case .object(let object) = $0 { object } else { nil } })
        else { return nil }
        return JSONReader(object, place: place, path: full(key))
    }

    public func int(_ key: String) throws(CrayonError) -> Int { try required(optionalInt(key), key, "an integer") }
    public func double(_ key: String) throws(CrayonError) -> Double {
        try required(optionalDouble(key), key, "a number")
    }
    public func bool(_ key: String) throws(CrayonError) -> Bool {
        try required(optionalBool(key), key, "true or false")
    }
    public func string(_ key: String) throws(CrayonError) -> String {
        try required(optionalString(key), key, "a string")
    }
    public func array(_ key: String) throws(CrayonError) -> [JSONValue] {
        try required(optionalArray(key), key, "an array")
    }
    public func object(_ key: String) throws(CrayonError) -> JSONReader {
        try required(optionalObject(key), key, "an object")
    }

    /// An array of one kind of element.
    public func ints(_ key: String) throws(CrayonError) -> [Int] {
        try elements(key, "integers") { if case .number(let number) = $0 { number.int } else { nil } }
    }
    public func doubles(_ key: String) throws(CrayonError) -> [Double] {
        try elements(key, "numbers") { if case .number(let number) = $0 { number.double } else { nil } }
    }
    public func strings(_ key: String) throws(CrayonError) -> [String] {
        try elements(key, "strings") { if case .string(let string) = $0 { string } else { nil } }
    }
    /// The readers of an array of objects; an error names the index.
    public func objects(_ key: String) throws(CrayonError) -> [JSONReader] {
        var readers: [JSONReader] = []
        for (index, element) in try array(key).enumerated() {
            readers.append(try JSONReader(element, place: place, path: "\(full(key))[\(index)]"))
        }
        return readers
    }

    private func elements<T>(_ key: String, _ what: String, _ convert: (JSONValue) -> T?) throws(CrayonError) -> [T] {
        var result: [T] = []
        for (index, element) in try array(key).enumerated() {
            guard let converted = convert(element) else {
                throw CrayonError(
                    .malformed, in: place, item: "key '\(full(key))[\(index)]'", found: element.kind,
                    expected: "an array of \(what)")
            }
            result.append(converted)
        }
        return result
    }
}

extension JSONValue {
    /// What the value is, in an error's words.
    public var kind: String {
        switch self {
        case .null: "null"
        case .bool(let flag): flag ? "true" : "false"
        case .number(let number): "the number \(number.text)"
        case .string(let string): "the string \"\(string.prefix(60))\""
        case .array(let elements): "an array of \(elements.count)"
        case .object: "an object"
        }
    }
}

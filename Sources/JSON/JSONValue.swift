/// A JSON value (RFC 8259) that keeps what other libraries throw away and foreign formats need: the
/// order of keys, and the text of numbers.
public indirect enum JSONValue: Equatable, Sendable {
    case null
    case bool(Bool)
    case number(JSONNumber)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)
}

/// A number as it was written; converted where it is used, so that 64-bit integers and doubles both survive.
public struct JSONNumber: Hashable, Sendable {
    /// Valid JSON number text.
    public let text: String

    init(text: String) { self.text = text }

    public init(_ value: Int) { text = String(value) }

    /// Shortest text that reads back to the same double, in the form Python's `repr` gives it.
    /// - Precondition: `value` is finite; JSON has no NaN.
    public init(_ value: Double) {
        precondition(value.isFinite)
        text = PythonNumber.repr(value)
    }

    public var double: Double? { Double(text) }

    /// The value when it is written as an integer that fits, else nil.
    public var int: Int? { Int(text) }
}

/// An object whose members keep their order. Names are unique: the parser refuses duplicates.
public struct JSONObject: Equatable, Sendable {
    public private(set) var members: [(name: String, value: JSONValue)] = []
    private var positions: [String: Int] = [:]

    public init() {}

    public init(_ members: KeyValuePairs<String, JSONValue>) {
        for (name, value) in members { self[name] = value }
    }

    /// Reading a name that is absent gives nil; assigning replaces in place or appends; assigning nil removes.
    public subscript(name: String) -> JSONValue? {
        get { positions[name].map { members[$0].value } }
        set {
            if let position = positions[name] {
                if let newValue {
                    members[position].value = newValue
                } else {
                    members.remove(at: position)
                    positions.removeValue(forKey: name)
                    for (other, index) in positions where index > position { positions[other] = index - 1 }
                }
            } else if let newValue {
                positions[name] = members.count
                members.append((name, newValue))
            }
        }
    }

    public var names: [String] { members.map(\.name) }
    public var isEmpty: Bool { members.isEmpty }
    public var count: Int { members.count }

    public static func == (left: JSONObject, right: JSONObject) -> Bool {
        left.members.count == right.members.count
            && zip(left.members, right.members).allSatisfy { $0.name == $1.name && $0.value == $1.value }
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByFloatLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int) { self = .number(JSONNumber(value)) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(floatLiteral value: Double) { self = .number(JSONNumber(value)) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(nilLiteral: ()) { self = .null }
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        var object = JSONObject()
        for (name, value) in elements { object[name] = value }
        self = .object(object)
    }

    public static func int(_ value: Int) -> JSONValue { .number(JSONNumber(value)) }

    /// A finite double as a number; JSON has no word for the others, so they become their Python names as strings.
    public static func double(_ value: Double) -> JSONValue {
        if value.isNaN { return .string("NaN") }
        if value.isInfinite { return .string(value < 0 ? "-Infinity" : "Infinity") }
        return .number(JSONNumber(value))
    }
}

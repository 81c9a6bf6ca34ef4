public import Bytes

/// The kinds of values that a GGUF file's metadata have, by the format's numbers.
public enum GGUFValueType: UInt32, Sendable, CaseIterable {
    case uint8 = 0
    case int8 = 1
    case uint16 = 2
    case int16 = 3
    case uint32 = 4
    case int32 = 5
    case float32 = 6
    case bool = 7
    case string = 8
    case array = 9
    case uint64 = 10
    case int64 = 11
    case float64 = 12

    /// Bytes of a value; nil where they differ.
    var byteCount: Int? {
        switch self {
        case .uint8, .int8, .bool: 1
        case .uint16, .int16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64: 8
        case .string, .array: nil
        }
    }
}

/// A value of a GGUF file's metadata. Texts and arrays stay in the mapped file until they are asked for.
public enum GGUFValue: Sendable {
    case integer(Int64)
    /// An unsigned 64-bit integer past `Int64.max`.
    case large(UInt64)
    case number(Double)
    case bool(Bool)
    /// The bytes of a text, UTF-8 as the format wants it.
    case string(ByteRegion)
    case array(GGUFArray)

    public var integer: Int? {
        if case .integer(let value) = self { return Int(value) }
        return nil
    }

    /// A number, whether the file has it as an integer or not.
    public var number: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .large(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    public var bool: Bool? {
        if case .bool(let value) = self { return value }
        return nil
    }

    /// Nil for bytes that are no UTF-8, too.
    public var string: String? {
        guard case .string(let bytes) = self else { return nil }
        return String(validating: bytes.buffer, as: UTF8.self)
    }

    public var array: GGUFArray? {
        if case .array(let value) = self { return value }
        return nil
    }

    /// What it is, for errors.
    var kind: String {
        switch self {
        case .integer, .large: "an integer"
        case .number: "a number"
        case .bool: "a boolean"
        case .string: "a text"
        case .array(let array): "an array of \(array.elementType)"
        }
    }
}

/// An array of a GGUF file's metadata, still encoded; walked once when the file was opened, so that reading it cannot fail.
public struct GGUFArray: Sendable {
    public let elementType: GGUFValueType
    public let count: Int
    let place: String
    /// The encoded elements.
    let region: ByteRegion

    /// Calls `body` with the elements in order.
    public func visit<Failure: Error>(_ body: (GGUFValue) throws(Failure) -> Void) throws(Failure) {
        var cursor = GGUFCursor(region, place: place)
        for _ in 0..<count {
            guard let value = try? cursor.value(elementType, of: "an array", depth: 0) else {
                preconditionFailure("the array was walked at open")
            }
            try body(value)
        }
    }

    /// The elements as integers; nil where one is none.
    public var integers: [Int]? {
        var values: [Int] = []
        visit { if let value = $0.integer { values.append(value) } }
        return values.count == count ? values : nil
    }

    /// The elements as numbers; nil where one is none.
    public var numbers: [Double]? {
        var values: [Double] = []
        visit { if let value = $0.number { values.append(value) } }
        return values.count == count ? values : nil
    }

    /// The elements as the bytes of texts; nil where one is none.
    public var strings: [ByteRegion]? {
        var values: [ByteRegion] = []
        visit { if case .string(let bytes) = $0 { values.append(bytes) } }
        return values.count == count ? values : nil
    }
}

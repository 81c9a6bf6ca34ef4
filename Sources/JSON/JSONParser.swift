public import Bytes

extension JSONValue {
    /// What a reader is willing to take from a file that it does not trust.
    public struct Limits: Sendable {
        public var depth: Int
        public var bytes: Int

        /// The defaults hold every configuration file met in practice with room to spare;
        /// 100 MB is safetensors' own limit on a header.
        public init(depth: Int = 64, bytes: Int = 100_000_000) {
            self.depth = depth
            self.bytes = bytes
        }
    }

    /// Parses one value that fills `bytes` but for white space.
    ///
    /// Strict RFC 8259: no comments, no trailing commas, no NaN, valid UTF-8, no lone surrogates, and each
    /// name at most once in an object. Time and memory are linear in the number of bytes.
    /// - Parameters:
    ///   - name: what to call the text in an error: its file, usually.
    ///   - base: where in that file `bytes` begin.
    public static func parse(
        _ bytes: UnsafeRawBufferPointer, name: String, limits: Limits = Limits(), base: Int = 0
    ) throws(CrayonError) -> JSONValue {
        guard bytes.count <= limits.bytes else {
            throw CrayonError(
                .malformed, in: name, found: "\(bytes.count) bytes of JSON", expected: "at most \(limits.bytes)")
        }
        var parser = JSONParser(bytes: bytes, name: name, base: base, depthLimit: limits.depth)
        return try parser.parseDocument()
    }

    public static func parse(
        _ region: ByteRegion, name: String, limits: Limits = Limits(), base: Int = 0
    ) throws(CrayonError) -> JSONValue {
        try parse(region.buffer, name: name, limits: limits, base: base)
    }

    public static func parse(_ text: String, name: String, limits: Limits = Limits()) throws(CrayonError) -> JSONValue {
        try parse(ByteRegion(copying: Array(text.utf8)), name: name, limits: limits)
    }

    /// Parses a whole file.
    public static func parse(file path: String, limits: Limits = Limits()) throws(CrayonError) -> JSONValue {
        try parse(MappedFile(path: path).whole, name: path, limits: limits)
    }
}

private struct JSONParser {
    let bytes: UnsafeRawBufferPointer
    let name: String
    let base: Int
    let depthLimit: Int
    var position = 0
    var depth = 0

    init(bytes: UnsafeRawBufferPointer, name: String, base: Int, depthLimit: Int) {
        self.bytes = bytes
        self.name = name
        self.base = base
        self.depthLimit = depthLimit
    }

    mutating func parseDocument() throws(CrayonError) -> JSONValue {
        let value = try parseValue()
        skipWhitespace()
        guard position == bytes.count else { throw failure("more text after the value") }
        return value
    }

    private func failure(_ found: String, expected: String? = nil, at offset: Int? = nil) -> CrayonError {
        CrayonError(
            .malformed, in: name, item: "JSON at byte \(base + (offset ?? position))", found: found, expected: expected)
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipWhitespace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private mutating func parseValue() throws(CrayonError) -> JSONValue {
        skipWhitespace()
        guard let byte = next else { throw failure("end of text", expected: "a value") }
        switch byte {
        case UInt8(ascii: "{"): return .object(try parseObject())
        case UInt8(ascii: "["): return .array(try parseArray())
        case UInt8(ascii: "\""): return .string(try parseString())
        case UInt8(ascii: "t"): return try parseWord("true", .bool(true))
        case UInt8(ascii: "f"): return try parseWord("false", .bool(false))
        case UInt8(ascii: "n"): return try parseWord("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try parseNumber())
        default: throw failure("byte 0x\(String(byte, radix: 16))", expected: "a value")
        }
    }

    private mutating func parseWord(_ word: StaticString, _ value: JSONValue) throws(CrayonError) -> JSONValue {
        let end = position + word.utf8CodeUnitCount
        guard end <= bytes.count,
            (0..<word.utf8CodeUnitCount).allSatisfy({ bytes[position + $0] == word.utf8Start[$0] })
        else { throw failure("an unknown word", expected: "\(word)") }
        position = end
        return value
    }

    private mutating func enter() throws(CrayonError) {
        position += 1
        depth += 1
        guard depth <= depthLimit else { throw failure("nesting deeper than \(depthLimit)") }
    }

    private mutating func parseArray() throws(CrayonError) -> [JSONValue] {
        try enter()
        var elements: [JSONValue] = []
        skipWhitespace()
        if next == UInt8(ascii: "]") {
            position += 1
            depth -= 1
            return elements
        }
        while true {
            elements.append(try parseValue())
            skipWhitespace()
            switch next {
            case UInt8(ascii: ","): position += 1
            case UInt8(ascii: "]"):
                position += 1
                depth -= 1
                return elements
            default: throw failure(describeNext(), expected: "',' or ']'")
            }
        }
    }

    private mutating func parseObject() throws(CrayonError) -> JSONObject {
        try enter()
        var object = JSONObject()
        skipWhitespace()
        if next == UInt8(ascii: "}") {
            position += 1
            depth -= 1
            return object
        }
        while true {
            skipWhitespace()
            let start = position
            guard next == UInt8(ascii: "\"") else { throw failure(describeNext(), expected: "a name in quotes") }
            let key = try parseString()
            skipWhitespace()
            guard next == UInt8(ascii: ":") else { throw failure(describeNext(), expected: "':'") }
            position += 1
            let value = try parseValue()
            guard object[key] == nil else { throw failure("name '\(key)' twice in one object", at: start) }
            object[key] = value
            skipWhitespace()
            switch next {
            case UInt8(ascii: ","): position += 1
            case UInt8(ascii: "}"):
                position += 1
                depth -= 1
                return object
            default: throw failure(describeNext(), expected: "',' or '}'")
            }
        }
    }

    private func describeNext() -> String {
        next.map { "byte 0x\(String($0, radix: 16))" } ?? "end of text"
    }

    private mutating func parseNumber() throws(CrayonError) -> JSONNumber {
        let start = position
        if next == UInt8(ascii: "-") { position += 1 }
        guard let first = next, isDigit(first) else { throw failure(describeNext(), expected: "a digit") }
        if first == UInt8(ascii: "0") {
            position += 1
        } else {
            skipDigits()
        }
        if next == UInt8(ascii: ".") {
            position += 1
            guard let digit = next, isDigit(digit) else { throw failure(describeNext(), expected: "a digit") }
            skipDigits()
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            position += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            guard let digit = next, isDigit(digit) else { throw failure(describeNext(), expected: "a digit") }
            skipDigits()
        }
        return JSONNumber(text: String(decoding: bytes[start..<position], as: UTF8.self))
    }

    private func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    private mutating func skipDigits() {
        while let byte = next, isDigit(byte) { position += 1 }
    }

    private mutating func parseString() throws(CrayonError) -> String {
        let start = position
        position += 1
        var plainStart = position
        var decoded: [UInt8] = []
        while true {
            guard let byte = next else { throw failure("a string without its closing quote", at: start) }
            switch byte {
            case UInt8(ascii: "\""):
                decoded.append(contentsOf: bytes[plainStart..<position])
                position += 1
                guard let text = String(validating: decoded, as: UTF8.self) else {
                    throw failure("a string that is not UTF-8", at: start)
                }
                return text
            case UInt8(ascii: "\\"):
                decoded.append(contentsOf: bytes[plainStart..<position])
                position += 1
                try parseEscape(into: &decoded)
                plainStart = position
            case 0..<0x20: throw failure("a control character in a string")
            default: position += 1
            }
        }
    }

    private mutating func parseEscape(into decoded: inout [UInt8]) throws(CrayonError) {
        guard let byte = next else { throw failure("end of text in an escape") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): decoded.append(byte)
        case UInt8(ascii: "b"): decoded.append(0x08)
        case UInt8(ascii: "f"): decoded.append(0x0C)
        case UInt8(ascii: "n"): decoded.append(0x0A)
        case UInt8(ascii: "r"): decoded.append(0x0D)
        case UInt8(ascii: "t"): decoded.append(0x09)
        case UInt8(ascii: "u"):
            var code = UInt32(try parseHex())
            if code & 0xFC00 == 0xD800 {
                guard next == UInt8(ascii: "\\") else { throw failure("half of a surrogate pair") }
                position += 1
                guard next == UInt8(ascii: "u") else { throw failure("half of a surrogate pair") }
                position += 1
                let low = UInt32(try parseHex())
                guard low & 0xFC00 == 0xDC00 else { throw failure("half of a surrogate pair") }
                code = 0x10000 + (code & 0x3FF) << 10 + low & 0x3FF
            }
            guard let scalar = Unicode.Scalar(code) else { throw failure("half of a surrogate pair") }
            decoded.append(contentsOf: Array(String(Character(scalar)).utf8))
        default: throw failure("an unknown escape", at: position - 1)
        }
    }

    private mutating func parseHex() throws(CrayonError) -> UInt16 {
        guard position + 4 <= bytes.count else { throw failure("end of text in an escape") }
        var value: UInt16 = 0
        for _ in 0..<4 {
            let byte = bytes[position]
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: throw failure("byte 0x\(String(byte, radix: 16))", expected: "a hexadecimal digit")
            }
            value = value << 4 | UInt16(digit)
            position += 1
        }
        return value
    }
}

import Bytes

/// Walks over JSON text without making values of it: where members and elements begin and end.
///
/// Brackets must pair and strings must close; numbers, words and what strings hold are not looked at.
struct JSONScanner {
    private let bytes: UnsafeRawBufferPointer
    private let name: String
    /// Where `bytes` lie in the file, for errors.
    private let base: Int
    private var position: Int

    init(_ bytes: UnsafeRawBufferPointer, name: String, base: Int = 0, position: Int = 0) {
        self.bytes = bytes
        self.name = name
        self.base = base
        self.position = position
        skipWhitespace()
    }

    var isAtObject: Bool { next == UInt8(ascii: "{") }
    var isAtArray: Bool { next == UInt8(ascii: "[") }

    /// Each element's bytes.
    /// - Precondition: an array stands here.
    mutating func elements(_ body: (Range<Int>) throws(CrayonError) -> Void) throws(CrayonError) {
        try list(closing: UInt8(ascii: "]")) { (scanner) throws(CrayonError) in
            try body(try scanner.value())
        }
    }

    /// Each member's name and the bytes of its value.
    /// - Precondition: an object stands here.
    mutating func members(_ body: (String, Range<Int>) throws(CrayonError) -> Void) throws(CrayonError) {
        try list(closing: UInt8(ascii: "}")) { (scanner) throws(CrayonError) in
            guard scanner.next == UInt8(ascii: "\"") else { throw scanner.failure("no name", expected: "a string") }
            let start = scanner.position
            try scanner.string()
            let text = UnsafeRawBufferPointer(rebasing: scanner.bytes[start..<scanner.position])
            guard case .string(let member) = try JSONValue.parse(text, name: scanner.name, base: scanner.base + start)
            else { throw scanner.failure("no name", expected: "a string") }
            scanner.skipWhitespace()
            guard scanner.next == UInt8(ascii: ":") else { throw scanner.failure(scanner.here, expected: "':'") }
            scanner.position += 1
            scanner.skipWhitespace()
            try body(member, try scanner.value())
        }
    }

    /// - Throws: `CrayonError` where anything but white space is left.
    mutating func finish() throws(CrayonError) {
        skipWhitespace()
        guard position == bytes.count else { throw failure("more text after the value") }
    }

    private mutating func list(
        closing: UInt8, _ item: (inout JSONScanner) throws(CrayonError) -> Void
    ) throws(CrayonError) {
        position += 1
        skipWhitespace()
        if next == closing {
            position += 1
            return
        }
        while true {
            try item(&self)
            skipWhitespace()
            switch next {
            case UInt8(ascii: ","):
                position += 1
                skipWhitespace()
            case closing:
                position += 1
                return
            default: throw failure(here, expected: "',' or '\(Character(Unicode.Scalar(closing)))'")
            }
        }
    }

    /// Passes over one value.
    private mutating func value() throws(CrayonError) -> Range<Int> {
        let start = position
        // One bit for each open bracket: 1 for an object.
        var open: UInt64 = 0
        var depth = 0
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""): try string()
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                guard depth < 64 else { throw failure("nesting deeper than 64") }
                open = open << 1 | (byte == UInt8(ascii: "{") ? 1 : 0)
                depth += 1
                position += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 {
                    guard position > start else { throw failure(here, expected: "a value") }
                    return start..<position
                }
                guard open & 1 == (byte == UInt8(ascii: "}") ? 1 : 0) else {
                    throw failure("brackets that do not pair")
                }
                open >>= 1
                depth -= 1
                position += 1
            case UInt8(ascii: ","), 0x20, 0x0A, 0x0D, 0x09:
                if depth == 0 {
                    guard position > start else { throw failure(here, expected: "a value") }
                    return start..<position
                }
                position += 1
            default: position += 1
            }
            if depth == 0, byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]") {
                return start..<position
            }
        }
        throw failure("end of text", expected: "the end of a value that begins at byte \(base + start)")
    }

    private mutating func string() throws(CrayonError) {
        let start = position
        position += 1
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                position += 1
                return
            }
            position += byte == UInt8(ascii: "\\") ? 2 : 1
        }
        position = start
        throw failure("a string without its closing quote")
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private var here: String { next.map { "byte 0x\(String($0, radix: 16))" } ?? "end of text" }

    private mutating func skipWhitespace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private func failure(_ found: String, expected: String? = nil) -> CrayonError {
        CrayonError(.malformed, in: name, item: "JSON at byte \(base + position)", found: found, expected: expected)
    }
}

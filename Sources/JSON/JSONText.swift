extension JSONValue {
    /// How text is laid out.
    public enum Style: Sendable {
        /// No white space.
        case compact
        /// Python's `json.dumps` default: `", "` and `": "` on one line.
        case python
        /// Python's `json.dumps(indent=n)`.
        case pretty(indent: Int)
    }

    /// The value as JSON text. Strings stay UTF-8; only what JSON demands is escaped, unless `asciiOnly`
    /// asks for Python's `ensure_ascii` form.
    public func text(style: Style = .compact, asciiOnly: Bool = false) -> String {
        var writer = JSONWriter(style: style, asciiOnly: asciiOnly)
        writer.write(self, depth: 0)
        return String(decoding: writer.bytes, as: UTF8.self)
    }
}

private struct JSONWriter {
    let style: JSONValue.Style
    let asciiOnly: Bool
    var bytes: [UInt8] = []

    init(style: JSONValue.Style, asciiOnly: Bool) {
        self.style = style
        self.asciiOnly = asciiOnly
    }

    private mutating func put(_ text: String) { bytes.append(contentsOf: text.utf8) }

    mutating func write(_ value: JSONValue, depth: Int) {
        switch value {
        case .null: put("null")
        case .bool(let flag): put(flag ? "true" : "false")
        case .number(let number): put(number.text)
        case .string(let string): write(string)
        case .array(let elements):
            put("[")
            for (index, element) in elements.enumerated() {
                separate(first: index == 0, depth: depth + 1)
                write(element, depth: depth + 1)
            }
            close(isEmpty: elements.isEmpty, depth: depth)
            put("]")
        case .object(let object):
            put("{")
            for (index, member) in object.members.enumerated() {
                separate(first: index == 0, depth: depth + 1)
                write(member.name)
                if case .compact = style { put(":") } else { put(": ") }
                write(member.value, depth: depth + 1)
            }
            close(isEmpty: object.isEmpty, depth: depth)
            put("}")
        }
    }

    private mutating func separate(first: Bool, depth: Int) {
        switch style {
        case .compact: if !first { put(",") }
        case .python: if !first { put(", ") }
        case .pretty(let indent): put((first ? "\n" : ",\n") + String(repeating: " ", count: indent * depth))
        }
    }

    private mutating func close(isEmpty: Bool, depth: Int) {
        if case .pretty(let indent) = style, !isEmpty { put("\n" + String(repeating: " ", count: indent * depth)) }
    }

    private mutating func write(_ string: String) {
        put("\"")
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": put("\\\"")
            case "\\": put("\\\\")
            case "\n": put("\\n")
            case "\r": put("\\r")
            case "\t": put("\\t")
            case "\u{08}": put("\\b")
            case "\u{0C}": put("\\f")
            case _ where scalar.value < 0x20: putEscape(UInt16(scalar.value))
            case _ where asciiOnly && scalar.value > 0x7E:
                for unit in String(Character(scalar)).utf16 { putEscape(unit) }
            default: bytes.append(contentsOf: Array(String(Character(scalar)).utf8))
            }
        }
        put("\"")
    }

    private mutating func putEscape(_ unit: UInt16) {
        let digits = String(unit, radix: 16)
        put("\\u" + String(repeating: "0", count: 4 - digits.count) + digits)
    }
}

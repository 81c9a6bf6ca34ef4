/// Reads the text of an `.npy` header: a dict display of Python with three keys, and no more of Python than it needs.
struct NumPyHeaderText {
    struct Fields {
        /// Nil for an array of structures, whose description is a list.
        var description: String?
        var isColumnMajor: Bool
        var shape: [Int]
    }

    /// What was found instead.
    struct Flaw: Error {
        let what: String
    }

    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    static func read(_ bytes: UnsafeRawBufferPointer) throws(Flaw) -> Fields {
        var text = NumPyHeaderText(bytes: bytes)
        return try text.fields()
    }

    private init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    private mutating func fields() throws(Flaw) -> Fields {
        var description: String??
        var order: Bool?
        var shape: [Int]?
        try expect("{")
        while !take("}") {
            let key = try string()
            try expect(":")
            switch key {
            case "descr" where description == nil:
                if peek() == UInt8(ascii: "[") {
                    // What follows is of no use: the caller refuses it.
                    return Fields(description: nil, isColumnMajor: false, shape: [])
                }
                description = .some(try string())
            case "fortran_order" where order == nil: order = try boolean()
            case "shape" where shape == nil: shape = try tuple()
            default: throw Flaw(what: "the key '\(key.prefix(40))', unknown or twice")
            }
            if !take(",") {
                try expect("}")
                break
            }
        }
        skipSpaces()
        guard offset == bytes.count else { throw Flaw(what: "more text after the dict") }
        guard case .some(let description?) = description, let order, let shape else {
            throw Flaw(what: "a key missing")
        }
        return Fields(description: description, isColumnMajor: order, shape: shape)
    }

    private mutating func skipSpaces() {
        while offset < bytes.count, bytes[offset] == 0x20 || bytes[offset] == 0x0A { offset += 1 }
    }

    private mutating func peek() -> UInt8? {
        skipSpaces()
        return offset < bytes.count ? bytes[offset] : nil
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek() == UInt8(ascii: character) else { return false }
        offset += 1
        return true
    }

    private mutating func expect(_ character: Unicode.Scalar) throws(Flaw) {
        guard take(character) else { throw Flaw(what: "no '\(character)' at byte \(offset)") }
    }

    /// Without escapes, which no key or type needs.
    private mutating func string() throws(Flaw) -> String {
        guard let quote = peek(), quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else {
            throw Flaw(what: "no text at byte \(offset)")
        }
        let start = offset + 1
        guard let end = bytes[start...].firstIndex(of: quote),
            let text = String(validating: bytes[start..<end], as: UTF8.self), !text.contains("\\")
        else { throw Flaw(what: "a text that does not end, at byte \(offset)") }
        offset = end + 1
        return text
    }

    private mutating func word() -> String {
        skipSpaces()
        let start = offset
        while offset < bytes.count, isWord(bytes[offset]) { offset += 1 }
        return String(decoding: bytes[start..<offset], as: UTF8.self)
    }

    private func isWord(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }

    private mutating func boolean() throws(Flaw) -> Bool {
        switch word() {
        case "True": return true
        case "False": return false
        default: throw Flaw(what: "no True or False before byte \(offset)")
        }
    }

    private mutating func tuple() throws(Flaw) -> [Int] {
        try expect("(")
        var values: [Int] = []
        while !take(")") {
            var digits = word()
            // Python 2 wrote long integers so.
            if digits.hasSuffix("L") { digits.removeLast() }
            guard let value = Int(digits), value >= 0 else { throw Flaw(what: "no extent before byte \(offset)") }
            values.append(value)
            guard values.count <= NumPyHeader.rankLimit else { throw Flaw(what: "too many axes") }
            if !take(",") {
                try expect(")")
                break
            }
        }
        return values
    }
}

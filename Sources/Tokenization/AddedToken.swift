/// A token beside the trained vocabulary, such as `<image>`: its text in a prompt becomes this one id.
public struct AddedToken: Hashable, Sendable {
    public var text: String
    public var id: Int32
    /// The whitespace to the left of the token in a text belongs to it (Hugging Face's `lstrip`).
    public var absorbsSpaceBefore: Bool
    /// The whitespace to the right of the token in a text belongs to it (Hugging Face's `rstrip`).
    public var absorbsSpaceAfter: Bool

    public init(_ text: String, id: Int32, absorbsSpaceBefore: Bool = false, absorbsSpaceAfter: Bool = false) {
        self.text = text
        self.id = id
        self.absorbsSpaceBefore = absorbsSpaceBefore
        self.absorbsSpaceAfter = absorbsSpaceAfter
    }
}

/// Cuts texts at added tokens: at each place the longest one that matches wins, from left to right.
struct AddedTokenSplitter: Sendable {
    enum Segment: Equatable {
        case text(String)
        case token(AddedToken)
    }

    private let tokensByFirstByte: [UInt8: [AddedToken]]

    init(_ tokens: [AddedToken]) {
        let usable = tokens.filter { !$0.text.isEmpty }.sorted { $0.text.utf8.count > $1.text.utf8.count }
        tokensByFirstByte = Dictionary(grouping: usable) { $0.text.utf8.first ?? 0 }
    }

    /// The segments in order; none is an empty text.
    func split(_ text: String) -> [Segment] {
        guard !tokensByFirstByte.isEmpty else { return text.isEmpty ? [] : [.text(text)] }
        let bytes = Array(text.utf8)
        var segments: [Segment] = []
        var start = 0
        var position = 0
        while position < bytes.count {
            guard let token = longestMatch(in: bytes, at: position) else {
                position += 1
                continue
            }
            var end = position
            var next = position + token.text.utf8.count
            if token.absorbsSpaceBefore { while end > start, Self.isSpace(bytes[end - 1]) { end -= 1 } }
            if token.absorbsSpaceAfter { while next < bytes.count, Self.isSpace(bytes[next]) { next += 1 } }
            if end > start { segments.append(.text(String(decoding: bytes[start..<end], as: UTF8.self))) }
            segments.append(.token(token))
            start = next
            position = next
        }
        if start < bytes.count { segments.append(.text(String(decoding: bytes[start...], as: UTF8.self))) }
        return segments
    }

    private func longestMatch(in bytes: [UInt8], at position: Int) -> AddedToken? {
        // A token starts with a whole character, so its first byte cannot match inside another character.
        tokensByFirstByte[bytes[position]]?.first { bytes[position...].starts(with: $0.text.utf8) }
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }
}

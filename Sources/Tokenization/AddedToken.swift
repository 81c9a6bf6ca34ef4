/// A token beside the trained vocabulary, such as `<image>`: its text in a prompt becomes this one id.
public struct AddedToken: Hashable, Sendable {
    public var text: String
    public var id: Int32
    /// The whitespace to the left of the token in a text belongs to it (Hugging Face's `lstrip`).
    public var absorbsSpaceBefore: Bool
    /// The whitespace to the right of the token in a text belongs to it (Hugging Face's `rstrip`).
    public var absorbsSpaceAfter: Bool
    /// Only where no letter, digit or underscore stands beside it (`single_word`).
    public var isSingleWord: Bool
    /// Looked for in normalised text, not in the text as it is (`normalized`).
    public var isNormalized: Bool
    /// No part of an answer's text (`special`).
    public var isSpecial: Bool

    public init(
        _ text: String, id: Int32, absorbsSpaceBefore: Bool = false, absorbsSpaceAfter: Bool = false,
        isSingleWord: Bool = false, isNormalized: Bool = false, isSpecial: Bool = true
    ) {
        self.text = text
        self.id = id
        self.absorbsSpaceBefore = absorbsSpaceBefore
        self.absorbsSpaceAfter = absorbsSpaceAfter
        self.isSingleWord = isSingleWord
        self.isNormalized = isNormalized
        self.isSpecial = isSpecial
    }
}

/// Cuts texts at added tokens: at each place the longest one that matches wins, from left to right.
struct AddedTokenSplitter: Sendable {
    enum Segment: Equatable {
        case text(String)
        case token(AddedToken)
    }

    private let tokens: [AddedToken]
    /// A tree over the tokens' bytes: the node that a byte leads to from a node, the root being 0.
    private var children: [UInt64: Int32] = [:]
    /// The token that ends at each node.
    private var ends: [Int?] = [nil]

    /// - Parameter tokens: of two with the same text the first counts.
    init(_ tokens: [AddedToken]) {
        self.tokens = tokens
        for (index, token) in tokens.enumerated() where !token.text.isEmpty {
            var node: Int32 = 0
            for byte in token.text.utf8 {
                let key = Self.key(node, byte)
                if let child = children[key] {
                    node = child
                } else {
                    node = Int32(truncatingIfNeeded: ends.count)
                    children[key] = node
                    ends.append(nil)
                }
            }
            if ends[Int(node)] == nil { ends[Int(node)] = index }
        }
    }

    private static func key(_ node: Int32, _ byte: UInt8) -> UInt64 {
        UInt64(UInt32(bitPattern: node)) << 8 | UInt64(byte)
    }

    /// The segments in order; none is an empty text.
    func split(_ text: String) -> [Segment] {
        guard !children.isEmpty else { return text.isEmpty ? [] : [.text(text)] }
        let bytes = Array(text.utf8)
        var segments: [Segment] = []
        var start = 0
        var position = 0
        func addText(upTo end: Int) {
            if end > start { segments.append(.text(String(decoding: bytes[start..<end], as: UTF8.self))) }
        }
        while position < bytes.count {
            guard let (token, end) = longestMatch(in: bytes, at: position) else {
                position += 1
                continue
            }
            defer { position = end }
            if token.isSingleWord, Self.isWord(before: position, in: bytes) || Self.isWord(at: end, in: bytes) {
                continue
            }
            var (first, last) = (position, end)
            if token.absorbsSpaceBefore {
                while first > start, let width = Self.space(before: first, in: bytes) { first -= width }
                first = max(first, start)
            }
            if token.absorbsSpaceAfter { while let width = Self.space(at: last, in: bytes) { last += width } }
            addText(upTo: first)
            segments.append(.token(token))
            start = last
        }
        addText(upTo: bytes.count)
        return segments
    }

    /// A token starts with a whole character, so its first byte cannot match inside another character.
    private func longestMatch(in bytes: [UInt8], at position: Int) -> (AddedToken, end: Int)? {
        var node: Int32 = 0
        var best: (Int, Int)?
        var index = position
        while index < bytes.count, let child = children[Self.key(node, bytes[index])] {
            node = child
            index += 1
            if let token = ends[Int(node)] { best = (token, index) }
        }
        return best.map { (tokens[$0.0], $0.1) }
    }

    /// The width of the space that begins at a place.
    private static func space(at index: Int, in bytes: [UInt8]) -> Int? {
        scalar(at: index, in: bytes).flatMap { CharacterKind.isSpace($0) ? UTF8.width($0) : nil }
    }

    /// The width of the space that ends at a place.
    private static func space(before index: Int, in bytes: [UInt8]) -> Int? {
        scalar(before: index, in: bytes).flatMap { CharacterKind.isSpace($0) ? UTF8.width($0) : nil }
    }

    private static func isWord(at index: Int, in bytes: [UInt8]) -> Bool {
        scalar(at: index, in: bytes).map(CharacterKind.isWord) ?? false
    }

    private static func isWord(before index: Int, in bytes: [UInt8]) -> Bool {
        scalar(before: index, in: bytes).map(CharacterKind.isWord) ?? false
    }

    private static func scalar(at index: Int, in bytes: [UInt8]) -> Unicode.Scalar? {
        String(decoding: bytes[index..<min(index + 4, bytes.count)], as: UTF8.self).unicodeScalars.first
    }

    private static func scalar(before index: Int, in bytes: [UInt8]) -> Unicode.Scalar? {
        guard index > 0 else { return nil }
        var first = index - 1
        while first > 0, index - first < 4, bytes[first] & 0xc0 == 0x80 { first -= 1 }
        return scalar(at: first, in: bytes)
    }
}

/// Turns ids into text one at a time, for printing an answer while it is made.
///
/// Each call returns only what is certain: a character whose bytes have not all come yet is held back, and a
/// byte that can begin no character becomes U+FFFD, by the tokenizer's rule. The pieces
/// returned, with `finish()` at the end, join to `decode(_:)` of the same ids.
///
///     var decoder = StreamingDecoder(tokenizer)
///     for id in ids { print(decoder.append(id), terminator: "") }
///     print(decoder.finish())
public struct StreamingDecoder: Sendable {
    private let tokenizer: any Tokenizer
    private let skipsAddedTokens: Bool
    /// Bytes of a character that is not complete.
    private var pending: [UInt8] = []
    /// No text has come since the start or the last added token.
    private var isAtStart = true

    /// - Parameter continuing: the text continues earlier text, so its first space stays.
    public init(_ tokenizer: any Tokenizer, skippingAddedTokens: Bool = false, continuing: Bool = false) {
        self.tokenizer = tokenizer
        self.skipsAddedTokens = skippingAddedTokens
        isAtStart = !continuing
    }

    /// The text that has become certain with this id; often none.
    public mutating func append(_ id: Int32) -> String {
        switch tokenizer.fragment(of: id) {
        case .nothing: return finish()
        case .byte(let byte):
            pending.append(byte)
            // What becomes of the run is known at its end.
            if tokenizer.replacement == .eachByteOfRun { return "" }
            return emit(completeCharacters(atEnd: false))
        case .bytes(let bytes):
            pending += bytes
            return emit(completeCharacters(atEnd: false))
        case .verbatim(let text): return finish() + emit(text)
        case .text(let text): return finish() + emitSpaced(text)
        // What the Python package leaves out does not part the bytes around it.
        case .added where skipsAddedTokens && tokenizer.replacement != .eachByte: return ""
        case .added(let text) where tokenizer.replacement == .eachByteOfRun: return finish() + emitSpaced(text)
        case .added(let text):
            let before = finish()
            isAtStart = true
            return skipsAddedTokens ? before : before + text
        }
    }

    /// What is left when no more ids come; the decoder can go on afterwards.
    public mutating func finish() -> String {
        guard !pending.isEmpty else { return "" }
        guard tokenizer.replacement == .eachByteOfRun else { return emit(completeCharacters(atEnd: true)) }
        defer { pending.removeAll(keepingCapacity: true) }
        return emitSpaced(
            String(validating: pending, as: UTF8.self) ?? String(repeating: "\u{fffd}", count: pending.count))
    }

    /// Text whose first space may be the one that encoding put there.
    private mutating func emitSpaced(_ text: String) -> String {
        guard isAtStart, tokenizer.leadingSpaces != .kept, text.utf8.first == 0x20 else { return emit(text) }
        if tokenizer.leadingSpaces == .oneDropped { isAtStart = false }
        // The byte, not the character: a combining mark may follow the space.
        return emit(String(decoding: text.utf8.dropFirst(), as: UTF8.self))
    }

    private mutating func emit(_ text: String) -> String {
        if !text.isEmpty { isAtStart = false }
        return text
    }

    private mutating func completeCharacters(atEnd: Bool) -> String {
        var text = ""
        var position = 0
        while position < pending.count {
            switch UTF8Prefix(pending[position...]) {
            case .character(let count):
                text += String(decoding: pending[position..<position + count], as: UTF8.self)
                position += count
            case .incomplete where !atEnd:
                pending.removeFirst(position)
                return text
            case .incomplete(let count), .invalid(let count):
                text += "\u{fffd}"
                position += tokenizer.replacement == .eachByte ? 1 : count
            }
        }
        pending.removeAll(keepingCapacity: true)
        return text
    }
}

/// What the first bytes of a buffer are.
private enum UTF8Prefix {
    case character(Int)
    /// The beginning of a character, all that there is.
    case incomplete(Int)
    /// Bytes of which no character can come: as many as might have begun one, at least one.
    case invalid(Int)

    init(_ bytes: ArraySlice<UInt8>) {
        guard let first = bytes.first else {
            self = .incomplete(1)
            return
        }
        let (count, low, high): (Int, UInt8, UInt8) =
            switch first {
            case 0x00...0x7f: (1, 0, 0)
            case 0xc2...0xdf: (2, 0x80, 0xbf)
            case 0xe0: (3, 0xa0, 0xbf)
            case 0xed: (3, 0x80, 0x9f)  // surrogates are no characters
            case 0xe1...0xef: (3, 0x80, 0xbf)
            case 0xf0: (4, 0x90, 0xbf)
            case 0xf1...0xf3: (4, 0x80, 0xbf)
            case 0xf4: (4, 0x80, 0x8f)
            default: (0, 0, 0)
            }
        guard count > 0 else {
            self = .invalid(1)
            return
        }
        for (index, byte) in bytes.prefix(count).enumerated().dropFirst() {
            guard index == 1 ? (low...high).contains(byte) : byte & 0xc0 == 0x80 else {
                self = .invalid(index)
                return
            }
        }
        self = bytes.count >= count ? .character(count) : .incomplete(bytes.count)
    }
}

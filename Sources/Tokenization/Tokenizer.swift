public import Bytes

/// Text to token ids and back.
///
/// Ids are `Int32`, as the embedding table's rows are. A tokenizer never adds tokens on its own: who wants
/// a begin-of-sequence token puts `bosID` first, or asks with `addingBOS`.
public protocol Tokenizer: Sendable {
    /// One more than the highest id, added tokens included.
    var vocabularySize: Int { get }
    var bosID: Int32? { get }
    var eosID: Int32? { get }
    var unknownID: Int32? { get }

    /// - Parameter splittingAddedTokens: whether an added token's text inside `text` becomes that token; false
    ///   for text that must not be able to forge one.
    func encode(_ text: String, splittingAddedTokens: Bool) throws(CrayonError) -> [Int32]

    /// - Parameter skippingAddedTokens: leave added tokens out of the text.
    func decode(_ ids: [Int32], skippingAddedTokens: Bool) throws(CrayonError) -> String

    /// The text of one vocabulary entry as it is stored, such as `▁horse` or `<0x0A>`.
    func piece(of id: Int32) -> String?
    /// The id of exactly this vocabulary entry or added token.
    func id(of piece: String) -> Int32?

    /// What one id adds to a text.
    func fragment(of id: Int32) -> TokenFragment
    /// What decoding does with spaces at the very start of a text.
    var leadingSpaces: LeadingSpaces { get }
    /// How many U+FFFD bytes become that are no UTF-8.
    var replacement: ReplacementRule { get }
}

/// What becomes of bytes that are no UTF-8.
public enum ReplacementRule: Sendable {
    /// U+FFFD for each byte, as SentencePiece does it.
    case eachByte
    /// U+FFFD for the longest run of bytes that could have begun a character, as Unicode recommends.
    case eachBeginning
    /// U+FFFD for each byte of a run of them, the good ones too, as the Python package's ByteFallback does it. Added tokens are
    /// text like any other.
    case eachByteOfRun
}

/// What becomes of the spaces that a text begins with when it is put together from ids.
public enum LeadingSpaces: Sendable {
    case kept
    /// The one that encoding put there is taken away.
    case oneDropped
    /// All are taken away: encoding would not have kept them.
    case allDropped
}

/// What a token stands for when text is put together from ids.
public enum TokenFragment: Equatable, Sendable {
    /// Text, spaces in place.
    case text(String)
    /// Text that stands for itself and takes no part in the rule for the leading space.
    case verbatim(String)
    /// One byte of UTF-8 (byte fallback).
    case byte(UInt8)
    /// Bytes that need not begin or end with a character (byte-level BPE).
    case bytes([UInt8])
    /// An added token, which stands between texts.
    case added(String)
    /// Nothing, such as a begin-of-sequence token.
    case nothing
}

extension Tokenizer {
    public var replacement: ReplacementRule { .eachByte }

    public func encode(_ text: String) throws(CrayonError) -> [Int32] {
        try encode(text, splittingAddedTokens: true)
    }

    /// The ids of `text`, after the begin-of-sequence token where there is one and it is asked for.
    public func encode(_ text: String, addingBOS: Bool) throws(CrayonError) -> [Int32] {
        let ids = try encode(text, splittingAddedTokens: true)
        guard addingBOS, let bosID else { return ids }
        return [bosID] + ids
    }

    public func decode(_ ids: [Int32]) throws(CrayonError) -> String {
        try decode(ids, skippingAddedTokens: false)
    }
}

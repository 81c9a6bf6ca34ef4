public import Bytes
import Foundation

/// A byte-level BPE tokenizer as a `tokenizer.json` describes it: GPT-2's, Llama 3's, Qwen2's.
///
/// Encoding gives the ids of the Python package `tokenizers` without its post-processor: text is cut at the added tokens
/// that are looked for as they are, normalised, cut at the others, cut into words, and each word is merged. Decoding
/// joins the bytes of all ids; bytes that are no UTF-8 become U+FFFD, one for as many as could have begun a character.
public struct BytePairTokenizer: Tokenizer {
    public let addedTokens: [AddedToken]
    public let vocabularySize: Int
    public let bosID: Int32?
    public let eosID: Int32?
    public var unknownID: Int32? { file.model.unknownID }
    public var leadingSpaces: LeadingSpaces { .kept }
    public var replacement: ReplacementRule { .eachBeginning }

    private let file: BytePairFile
    private let plainSplitter: AddedTokenSplitter
    private let normalizedSplitter: AddedTokenSplitter
    private let addedByID: [Int32: AddedToken]
    private let addedByText: [[UInt8]: Int32]

    /// - Parameters:
    ///   - addedTokens: those of the file and any others; texts differ.
    ///   - begin: the text of the begin-of-sequence token, and `end` that of the end token.
    /// - Throws: `CrayonError` for added tokens that clash with each other or the vocabulary.
    init(
        _ file: BytePairFile, addedTokens: [AddedToken], begin: String?, end: String?
    ) throws(CrayonError) {
        // A token that is looked for in normalised text is that text to the Python package, when ids become text too.
        let tokens = addedTokens.map { token in
            var token = token
            if token.isNormalized { token.text = file.normalized(token.text) }
            return token
        }
        var byID: [Int32: AddedToken] = [:]
        var byText: [[UInt8]: Int32] = [:]
        for token in tokens {
            let text = Array(token.text.utf8)
            guard (0..<1 << 28).contains(token.id) else {
                throw CrayonError(
                    .malformed, in: file.place, item: "added token \(token.text)", found: "id \(token.id)")
            }
            let named = byText[text] ?? file.model.ids[text]
            let holder = byID[token.id]?.text ?? file.model.piece(token.id)?.text
            guard named ?? token.id == token.id, holder.map({ $0.utf8.elementsEqual(token.text.utf8) }) ?? true else {
                throw CrayonError(
                    .mismatch, in: file.place, item: "added token \(token.text)", found: "id \(token.id)",
                    expected: named.map { "\($0), its other id" } ?? "another: '\(holder ?? "")' has this one")
            }
            byText[text] = token.id
            byID[token.id] = token
        }
        self.file = file
        self.addedTokens = tokens
        (addedByID, addedByText) = (byID, byText)
        plainSplitter = AddedTokenSplitter(tokens.filter { !$0.isNormalized })
        normalizedSplitter = AddedTokenSplitter(tokens.filter(\.isNormalized))
        vocabularySize = max(file.model.pieces.count, (tokens.map { Int($0.id) }.max() ?? -1) + 1)
        func id(_ text: String?) -> Int32? {
            text.flatMap { byText[Array($0.utf8)] ?? file.model.ids[Array($0.utf8)] }
        }
        (bosID, eosID) = (id(begin), id(end))
    }

    public func encode(_ text: String, splittingAddedTokens: Bool) -> [Int32] {
        var ids: [Int32] = []
        guard splittingAddedTokens else {
            file.encode(file.normalized(text), into: &ids)
            return ids
        }
        for segment in plainSplitter.split(text) {
            switch segment {
            case .token(let token): ids.append(token.id)
            case .text(let text):
                for segment in normalizedSplitter.split(file.normalized(text)) {
                    switch segment {
                    case .token(let token): ids.append(token.id)
                    case .text(let text): file.encode(text, into: &ids)
                    }
                }
            }
        }
        return ids
    }

    /// - Parameter skippingAddedTokens: leave out the special ones among them, as the Python package does.
    /// - Throws: `CrayonError` for an id that no entry and no added token has.
    public func decode(_ ids: [Int32], skippingAddedTokens: Bool) throws(CrayonError) -> String {
        var bytes: [UInt8] = []
        for id in ids {
            if let token = addedByID[id] {
                if !(skippingAddedTokens && token.isSpecial) { bytes += BytePairModel.Piece(token.text).bytes }
            } else if let piece = file.model.piece(id) {
                bytes += piece.bytes
            } else {
                throw CrayonError(
                    .mismatch, in: "token ids", found: "id \(id)",
                    expected: "ids below \(vocabularySize) that have a piece")
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    public func piece(of id: Int32) -> String? { addedByID[id]?.text ?? file.model.piece(id)?.text }

    public func id(of piece: String) -> Int32? {
        let text = Array(piece.utf8)
        return addedByText[text] ?? file.model.ids[text]
    }

    /// An id that has no piece, such as a padded row of the embedding table, adds nothing.
    public func fragment(of id: Int32) -> TokenFragment {
        if let token = addedByID[id] {
            let bytes = BytePairModel.Piece(token.text).bytes
            return token.isSpecial ? .added(String(decoding: bytes, as: UTF8.self)) : .bytes(bytes)
        }
        return file.model.piece(id).map { .bytes($0.bytes) } ?? .nothing
    }
}

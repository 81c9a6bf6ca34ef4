public import Bytes

/// A BPE tokenizer as a `tokenizer.json` describes it: a byte-level one, as GPT-2, Llama 3 and Qwen2 have, or a SentencePiece model
/// in this form, as Llama 2, Mistral and LLaVA-1.5 have.
///
/// Encoding gives the ids of the Python package `tokenizers` without its post-processor: text is cut at the added tokens
/// that are looked for as they are, normalised, cut at the others, cut into words, and each word is merged. Decoding
/// joins the bytes of all ids; what becomes of bytes that are no UTF-8 is `replacement`'s.
public struct BytePairTokenizer: Tokenizer {
    public let addedTokens: [AddedToken]
    public let vocabularySize: Int
    public let bosID: Int32?
    public let eosID: Int32?
    public var unknownID: Int32? { file.model.unknownID }

    public var leadingSpaces: LeadingSpaces {
        if case .spaces(_, _, dropsFirst: true) = file.decoding { .oneDropped } else { .kept }
    }

    public var replacement: ReplacementRule { file.decoding == .bytes ? .eachBeginning : .eachByteOfRun }

    let file: BytePairFile
    private let plainSplitter: AddedTokenSplitter
    private let normalizedSplitter: AddedTokenSplitter
    /// As ids become text: a token that is looked for in normalised text is that text to the Python package then, too.
    private let addedByID: [Int32: AddedToken]
    private let addedByText: [[UInt8]: Int32]

    /// - Parameters:
    ///   - addedTokens: those of the file and any others; texts differ.
    ///   - begin: the text of the begin-of-sequence token, and `end` that of the end token.
    /// - Throws: `CrayonError` for added tokens that clash with each other or the vocabulary.
    init(
        _ file: BytePairFile, addedTokens: [AddedToken], begin: String?, end: String?
    ) throws(CrayonError) {
        var byID: [Int32: AddedToken] = [:]
        var byText: [[UInt8]: Int32] = [:]
        for token in addedTokens {
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
        let normalized = addedTokens.map { token in
            var token = token
            guard token.isNormalized else { return token }
            let text = file.normalized(token.text)
            // The package tells special tokens by their texts, and does not know the normalised one.
            token.isSpecial = token.isSpecial && text.utf8.elementsEqual(token.text.utf8)
            token.text = text
            return token
        }
        self.file = file
        self.addedTokens = addedTokens
        addedByText = byText
        addedByID = Dictionary(normalized.map { ($0.id, $0) }) { $1 }
        plainSplitter = AddedTokenSplitter(normalized.filter { !$0.isNormalized })
        normalizedSplitter = AddedTokenSplitter(normalized.filter(\.isNormalized))
        vocabularySize = max(file.model.pieces.count, (addedTokens.map { Int($0.id) }.max() ?? -1) + 1)
        func id(_ text: String?) -> Int32? {
            text.flatMap { byText[Array($0.utf8)] ?? file.model.ids[Array($0.utf8)] }
        }
        (bosID, eosID) = (id(begin), id(end))
    }

    public func encode(_ text: String, splittingAddedTokens: Bool) -> [Int32] {
        var ids: [Int32] = []
        guard splittingAddedTokens else {
            file.encode(file.normalized(text), isFirst: true, into: &ids)
            return ids
        }
        for (index, segment) in plainSplitter.split(text).enumerated() {
            switch segment {
            case .token(let token): ids.append(token.id)
            case .text(let text):
                for (inner, segment) in normalizedSplitter.split(file.normalized(text)).enumerated() {
                    switch segment {
                    case .token(let token): ids.append(token.id)
                    case .text(let text): file.encode(text, isFirst: index == 0 && inner == 0, into: &ids)
                    }
                }
            }
        }
        return ids
    }

    /// - Parameter skippingAddedTokens: leave out the special ones among them, as the Python package does.
    /// - Throws: `CrayonError` for an id that no entry and no added token has.
    public func decode(_ ids: [Int32], skippingAddedTokens: Bool) throws(CrayonError) -> String {
        if let unknown = ids.first(where: { addedByID[$0] == nil && file.model.piece($0) == nil }) {
            throw CrayonError(
                .mismatch, in: "token ids", found: "id \(unknown)",
                expected: "ids below \(vocabularySize) that have a piece")
        }
        guard file.decoding == .bytes else {
            var decoder = StreamingDecoder(self, skippingAddedTokens: skippingAddedTokens)
            let text = ids.reduce(into: "") { $0 += decoder.append($1) }
            return text + decoder.finish()
        }
        let bytes = ids.flatMap { id -> [UInt8] in
            guard let token = addedByID[id] else { return file.model.piece(id)?.bytes ?? [] }
            return skippingAddedTokens && token.isSpecial ? [] : BytePairModel.Piece(token.text, .bytes).bytes
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
            let fragment = fragment(BytePairModel.Piece(token.text, file.model.alphabet))
            guard token.isSpecial else { return fragment }
            return switch fragment {
            case .bytes(let bytes): .added(String(decoding: bytes, as: UTF8.self))
            case .text(let text): .added(text)
            default: .added(token.text)
            }
        }
        return file.model.piece(id).map(fragment) ?? .nothing
    }

    private func fragment(_ piece: BytePairModel.Piece) -> TokenFragment {
        guard case .spaces(let space, let bytes, _) = file.decoding else { return .bytes(piece.bytes) }
        if bytes, let byte = Self.byte(piece.bytes) { return .byte(byte) }
        return .text(String(decoding: piece.bytes.replacing(space, with: [0x20]), as: UTF8.self))
    }

    /// `<0x0A>`, in digits of either case.
    private static func byte(_ text: [UInt8]) -> UInt8? {
        guard text.count == 6, text.starts(with: "<0x".utf8), text[5] == UInt8(ascii: ">"),
            text[3...4].allSatisfy({ $0 != UInt8(ascii: "-") })
        else { return nil }
        return UInt8(String(decoding: text[3...4], as: UTF8.self), radix: 16)
    }
}

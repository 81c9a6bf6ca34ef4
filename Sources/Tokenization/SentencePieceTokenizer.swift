public import Bytes
import CSentencePiece

/// A SentencePiece `tokenizer.model` and the tokens added to it.
///
/// Encoding cuts the text at added tokens first (from left to right, at each place the longest); what stands
/// between two of them is encoded by SentencePiece by itself, so that with a model that puts a dummy space
/// before a text each segment gets one. That is what Hugging Face's slow tokenizers of Llama (`legacy=True`), InternLM,
/// InternLM2 and CoLLaVO do. With `DummyPrefix.firstSegment` only a text's start gets the space: Llama's
/// `legacy=False`. Decoding joins the texts of the runs between added tokens, each without its dummy space,
/// so it inverts the first rule exactly where the model's normalisation changes nothing.
public final class SentencePieceTokenizer: Tokenizer {
    /// Which segments of a text get the model's dummy space, where the model has one.
    public enum DummyPrefix: String, Sendable {
        case everySegment
        case firstSegment
    }

    public let addedTokens: [AddedToken]
    public let vocabularySize: Int
    /// The ids of the trained model alone.
    public let pieceCount: Int
    public let bosID: Int32?
    public let eosID: Int32?
    public let unknownID: Int32?
    public let padID: Int32?
    public let leadingSpaces: LeadingSpaces
    /// The model file's bytes, for storing it in a bundle.
    public let model: ByteRegion

    private let processor: Processor
    /// The same model without its dummy prefix, for the later segments of `DummyPrefix.firstSegment`.
    private let processorWithoutPrefix: Processor?
    private let splitter: AddedTokenSplitter
    private let addedByID: [Int32: AddedToken]
    /// By UTF-8, because strings compare by canonical equivalence.
    private let addedByText: [[UInt8]: Int32]
    private let unknownSurface: String

    /// - Parameters:
    ///   - model: the bytes of a `tokenizer.model`.
    ///   - name: what errors call the model.
    ///   - addedTokens: tokens beside the trained ones; an id below the trained count names a trained piece that is
    ///     to be cut out of texts, such as `</s>`.
    /// - Throws: `CrayonError` for a model that is broken in any way, and for added tokens that clash.
    public init(
        model: ByteRegion, name: String = "tokenizer.model", addedTokens: [AddedToken] = [],
        dummyPrefix: DummyPrefix = .everySegment
    ) throws(CrayonError) {
        let check = try SentencePieceModelCheck(model, name: name)
        processor = try Processor(model.buffer, name: name)
        pieceCount = Int(csp_piece_count(processor.handle))
        guard pieceCount == check.pieceCount else {
            throw CrayonError(
                .malformed, in: name, found: "\(check.pieceCount) pieces of which \(pieceCount) are usable")
        }
        if dummyPrefix == .firstSegment, check.addsDummyPrefix {
            // A message field that comes twice is merged: this is normalizer_spec { add_dummy_prefix: false }.
            let changed = ByteRegion(copying: model.array + [0x1a, 0x02, 0x18, 0x00])
            processorWithoutPrefix = try Processor(changed.buffer, name: name)
        } else {
            processorWithoutPrefix = nil
        }
        (addedByID, addedByText) = try Self.index(addedTokens, name: name)
        self.model = model
        self.addedTokens = addedTokens
        splitter = AddedTokenSplitter(addedTokens)
        vocabularySize = max(pieceCount, (addedTokens.map { Int($0.id) }.max() ?? -1) + 1)
        bosID = Self.defined(csp_bos_id(processor.handle))
        eosID = Self.defined(csp_eos_id(processor.handle))
        unknownID = Self.defined(csp_unk_id(processor.handle))
        padID = Self.defined(csp_pad_id(processor.handle))
        leadingSpaces = check.removesExtraSpaces ? .allDropped : check.addsDummyPrefix ? .oneDropped : .kept
        unknownSurface = check.unknownSurface
    }

    /// Reads the model at `path`.
    public convenience init(
        path: String, addedTokens: [AddedToken] = [], dummyPrefix: DummyPrefix = .everySegment
    ) throws(CrayonError) {
        try self.init(
            model: MappedFile(path: path).whole, name: path, addedTokens: addedTokens, dummyPrefix: dummyPrefix)
    }

    public func encode(_ text: String, splittingAddedTokens: Bool) throws(CrayonError) -> [Int32] {
        guard splittingAddedTokens else { return try processor.encode(text) }
        var ids: [Int32] = []
        for (index, segment) in splitter.split(text).enumerated() {
            switch segment {
            case .token(let token): ids.append(token.id)
            case .text(let text): ids += try (index == 0 ? processor : processorWithoutPrefix ?? processor).encode(text)
            }
        }
        return ids
    }

    /// - Throws: `CrayonError` for an id that no piece and no added token has.
    public func decode(_ ids: [Int32], skippingAddedTokens: Bool) throws(CrayonError) -> String {
        var text = ""
        var run: [Int32] = []
        for id in ids {
            if let token = addedByID[id] {
                text += try processor.decode(run)
                run.removeAll(keepingCapacity: true)
                if !skippingAddedTokens { text += token.text }
            } else if isPiece(id) {
                run.append(id)
            } else {
                throw CrayonError(
                    .mismatch, in: "token ids", found: "id \(id)",
                    expected: "ids below \(vocabularySize) that have a piece")
            }
        }
        return text + (try processor.decode(run))
    }

    public func piece(of id: Int32) -> String? {
        if let token = addedByID[id] { return token.text }
        guard isPiece(id) else { return nil }
        return processor.piece(id)
    }

    public func id(of piece: String) -> Int32? {
        if let id = addedByText[Array(piece.utf8)] { return id }
        var piece = piece
        return piece.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) {
                Self.defined(csp_id_of_piece(processor.handle, $0.baseAddress, $0.count))
            }
        }
    }

    /// An id that has no piece, such as a padded row of the embedding table, adds nothing.
    public func fragment(of id: Int32) -> TokenFragment {
        if let token = addedByID[id] { return .added(token.text) }
        guard isPiece(id) else { return .nothing }
        let piece = processor.piece(id)
        switch Int(csp_piece_kind(processor.handle, id)) {
        case CSP_PIECE_CONTROL: return .nothing
        case CSP_PIECE_UNKNOWN: return .verbatim(unknownSurface)
        case CSP_PIECE_BYTE:
            // "<0x0A>"
            guard let value = UInt8(piece.dropFirst(3).dropLast(), radix: 16) else { return .nothing }
            return .byte(value)
        default:
            return .text(String(String.UnicodeScalarView(piece.unicodeScalars.map { $0 == "\u{2581}" ? " " : $0 })))
        }
    }

    private func isPiece(_ id: Int32) -> Bool { id >= 0 && Int(id) < pieceCount }

    private static func defined(_ id: Int32) -> Int32? { id >= 0 ? id : nil }

    private static func index(
        _ tokens: [AddedToken], name: String
    ) throws(CrayonError) -> (byID: [Int32: AddedToken], byText: [[UInt8]: Int32]) {
        var byID: [Int32: AddedToken] = [:]
        var byText: [[UInt8]: Int32] = [:]
        for token in tokens {
            // The cap keeps a table of one row for each id within reason.
            guard token.id >= 0, token.id < 1 << 28 else {
                throw CrayonError(.malformed, in: name, item: "added token \(token.text)", found: "id \(token.id)")
            }
            if let other = byID.updateValue(token, forKey: token.id), !other.text.utf8.elementsEqual(token.text.utf8) {
                throw CrayonError(
                    .malformed, in: name, item: "added token \(token.text)",
                    found: "id \(token.id), which \(other.text) has")
            }
            if let other = byText.updateValue(token.id, forKey: Array(token.text.utf8)), other != token.id {
                throw CrayonError(
                    .malformed, in: name, item: "added token \(token.text)", found: "two ids, \(other) and \(token.id)")
            }
        }
        return (byID, byText)
    }
}

/// Owns one processor of the library, which is only read once it is loaded.
private final class Processor: @unchecked Sendable {
    // @unchecked: encoding and decoding are const methods that keep no state between calls.
    let handle: OpaquePointer

    init(_ model: UnsafeRawBufferPointer, name: String) throws(CrayonError) {
        var reason = [CChar](repeating: 0, count: 256)
        guard let handle = csp_create(model.baseAddress, model.count, &reason, reason.count) else {
            let text = String(decoding: reason.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            throw CrayonError(.malformed, in: name, found: text, expected: "a SentencePiece model")
        }
        self.handle = handle
    }

    deinit { csp_destroy(handle) }

    func encode(_ text: String) throws(CrayonError) -> [Int32] {
        var ids: UnsafeMutablePointer<Int32>?
        var count = 0
        var text = text
        let isDone = text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { csp_encode(handle, $0.baseAddress, $0.count, &ids, &count) }
        }
        defer { csp_free(ids) }
        guard isDone else {
            throw CrayonError(.malformed, in: "text", found: "a text that SentencePiece cannot encode")
        }
        return [Int32](UnsafeBufferPointer(start: ids, count: count))
    }

    func decode(_ ids: [Int32]) throws(CrayonError) -> String {
        guard !ids.isEmpty else { return "" }
        var text: UnsafeMutablePointer<CChar>?
        var length = 0
        let isDone = csp_decode(handle, ids, ids.count, &text, &length)
        defer { csp_free(text) }
        guard isDone else {
            throw CrayonError(.malformed, in: "token ids", found: "ids that SentencePiece cannot decode")
        }
        return String(decoding: UnsafeRawBufferPointer(start: text, count: length), as: UTF8.self)
    }

    func piece(_ id: Int32) -> String {
        var length = 0
        let bytes = csp_piece(handle, id, &length)
        return String(decoding: UnsafeRawBufferPointer(start: bytes, count: length), as: UTF8.self)
    }
}

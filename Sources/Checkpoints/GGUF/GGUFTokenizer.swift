import Bytes
import JSON
import Tokenization

/// The tokenizer in a GGUF file's metadata, as the files of a checkpoint.
///
/// llama.cpp's `llama` vocabulary is a SentencePiece model taken apart: texts, scores and kinds of its pieces, cut by merging. What it
/// does not say is how the original normalised texts; the model that is made here does not, as llama.cpp does not. A `gpt2` vocabulary
/// becomes a `tokenizer.json`.
struct GGUFTokenizer {
    /// `tokenizer.model` or `tokenizer.json`, and `tokenizer_config.json`, as far as the metadata have what is in them.
    var files: [(name: String, bytes: [UInt8])] = []
    var warnings: [String] = []

    /// What llama.cpp's converter gives tokens that were added beside the model.
    static let addedScore: Float = -1000

    /// - Throws: `CrayonError` for lists that do not go together.
    init(_ file: GGUFFile, begin: Int?, end: [Int]) throws(CrayonError) {
        let kind = file.metadata("tokenizer.ggml.model")?.string
        var addsBegin: Bool? = file.metadata("tokenizer.ggml.add_bos_token")?.bool ?? (begin != nil)
        var special: [String: Int] = [:]
        special["bos_token"] = begin
        special["eos_token"] = end.first
        special["unk_token"] = file.metadata("tokenizer.ggml.unknown_token_id")?.integer
        special["pad_token"] = file.metadata("tokenizer.ggml.padding_token_id")?.integer
        var texts: [ByteRegion] = []
        var added: [(id: Int, text: String, isControl: Bool)] = []
        if kind == "llama" {
            var pieces = try pieces(file)
            texts = pieces.map(\.text)
            added = pieces.enumerated().compactMap { id, piece in
                guard piece.score == Self.addedScore, piece.kind == .control || piece.kind == .userDefined,
                    let text = String(validating: piece.text.buffer, as: UTF8.self)
                else { return nil }
                return (id, text, piece.kind == .control)
            }
            // llama.cpp's converter makes the unknown piece a control token where tokenizer_config.json lists it.
            if !pieces.contains(where: { $0.kind == .unknown }) {
                let unknown = special["unk_token"] ?? 0
                if pieces.indices.contains(unknown) { pieces[unknown].kind = .unknown }
            }
            try addModel(pieces, of: file, begin: begin, end: end.first)
        } else {
            texts = file.metadata("tokenizer.ggml.tokens")?.array?.strings ?? []
            if kind != "gpt2" {
                warnings.append(
                    "\(file.place): \(kind.map { "a vocabulary of kind '\($0)'" } ?? "no vocabulary"), of which no tokenizer can "
                        + "be made: 'crayon run' will need a tokenizer.model or a tokenizer.json")
            } else if try addBytePairs(file, begin: begin) {
                // The file itself says what stands before a text.
                addsBegin = nil
            }
        }
        addConfiguration(file, addsBegin: addsBegin, special: special, texts: texts, added: added)
    }

    private typealias Piece = (text: ByteRegion, score: Float, kind: SentencePieceModel.PieceKind)

    /// One of the lists of the vocabulary.
    func list<Element>(
        _ file: GGUFFile, _ key: String, _ kind: String, _ read: (GGUFArray) -> [Element]?
    ) throws(CrayonError) -> [Element] {
        let value = file.metadata("tokenizer.ggml.\(key)")
        guard let value, let array = value.array, let elements = read(array) else {
            throw CrayonError(
                value == nil ? .missing : .malformed, in: file.place, item: "key 'tokenizer.ggml.\(key)'",
                found: value?.kind ?? "nothing", expected: "an array of \(kind)")
        }
        return elements
    }

    /// The three lists side by side.
    private func pieces(_ file: GGUFFile) throws(CrayonError) -> [Piece] {
        let texts = try list(file, "tokens", "texts") { $0.strings }
        let scores = try list(file, "scores", "numbers") { $0.numbers }
        let kinds = try list(file, "token_type", "integers") { $0.integers }
        guard scores.count == texts.count, kinds.count == texts.count else {
            throw CrayonError(
                .mismatch, in: file.place, item: "tokenizer.ggml",
                found: "\(texts.count) tokens, \(scores.count) scores, \(kinds.count) types",
                expected: "as many of each")
        }
        return texts.indices.map { index in
            (
                texts[index], Float(scores[index]),
                Int32(exactly: kinds[index]).flatMap(SentencePieceModel.PieceKind.init) ?? .normal
            )
        }
    }

    private mutating func addModel(
        _ pieces: [Piece], of file: GGUFFile, begin: Int?, end: Int?
    ) throws(CrayonError) {
        var model = SentencePieceModel()
        model.kind = .bpe
        model.removesExtraSpaces = false
        model.addsDummyPrefix = file.metadata("tokenizer.ggml.add_space_prefix")?.bool ?? true
        var taken: Set<[UInt8]> = []
        var renamed: [Int] = []
        var hasUnknown = false
        for (id, piece) in pieces.enumerated() {
            guard piece.score.isFinite else {
                throw CrayonError(
                    .malformed, in: file.place, item: "key 'tokenizer.ggml.scores'",
                    found: "\(piece.score) of token \(id)",
                    expected: "finite numbers")
            }
            var piece = SentencePieceModel.Piece(text: piece.text.array, score: piece.score, kind: piece.kind)
            // SentencePiece takes one unknown piece, and no text twice or empty.
            if piece.kind == .unknown, hasUnknown { piece.kind = .unused }
            if piece.kind == .unknown { hasUnknown = true }
            if piece.text.isEmpty || piece.text.contains(0) || taken.contains(piece.text)
                || String(validating: piece.text, as: UTF8.self) == nil
            {
                renamed.append(id)
                piece.text = Array("[crayon-unused-\(id)]".utf8)
                if piece.kind != .unknown { piece.kind = .unused }
            }
            taken.insert(piece.text)
            model.pieces.append(piece)
        }
        guard hasUnknown else {
            throw CrayonError(
                .malformed, in: file.place, item: "key 'tokenizer.ggml.token_type'", found: "no unknown token",
                expected: "one")
        }
        let bytes = Set(model.pieces.filter { $0.kind == .byte }.map(\.text))
        model.hasByteFallback = bytes.count == 256
        if !bytes.isEmpty, !model.hasByteFallback {
            warnings.append(
                "\(file.place): \(bytes.count) of 256 byte tokens: the tokenizer that was made of it has none, and may give other "
                    + "ids for rare characters")
            for id in model.pieces.indices where model.pieces[id].kind == .byte { model.pieces[id].kind = .unused }
        }
        if !renamed.isEmpty {
            warnings.append(
                "\(file.place): \(renamed.count) tokens whose text is empty, broken or another's (the first is \(renamed[0])): the "
                    + "tokenizer that was made of it never gives them")
        }
        model.unknownText = model.pieces.first { $0.kind == .unknown }?.text ?? model.unknownText
        if let begin, model.pieces.indices.contains(begin) { model.beginText = model.pieces[begin].text }
        if let end, model.pieces.indices.contains(end) { model.endText = model.pieces[end].text }
        files.append(("tokenizer.model", model.serialized))
    }

    private mutating func addConfiguration(
        _ file: GGUFFile, addsBegin: Bool?, special: [String: Int], texts: [ByteRegion],
        added: [(id: Int, text: String, isControl: Bool)]
    ) {
        var object = JSONObject()
        if let addsBegin { object["add_bos_token"] = .bool(addsBegin) }
        object["add_eos_token"] = .bool(file.metadata("tokenizer.ggml.add_eos_token")?.bool ?? false)
        var decoder = JSONObject()
        for token in added {
            decoder[String(token.id)] = .object(
                JSONObject([
                    "content": .string(token.text), "lstrip": false, "normalized": false, "rstrip": false,
                    "single_word": false, "special": .bool(token.isControl),
                ]))
        }
        if !decoder.isEmpty { object["added_tokens_decoder"] = .object(decoder) }
        for (key, id) in special.sorted(by: { $0.key < $1.key }) where texts.indices.contains(id) {
            guard let text = String(validating: texts[id].buffer, as: UTF8.self) else { continue }
            object[key] = .string(text)
        }
        if let template = file.metadata("tokenizer.chat_template")?.string {
            object["chat_template"] = .string(template)
        }
        object["legacy"] = true
        let text = JSONValue.object(object).text(style: .pretty(indent: 2)) + "\n"
        files.append(("tokenizer_config.json", Array(text.utf8)))
    }
}

import Architecture
import Bytes
import Checkpoints
import JSON
import Tokenization

/// A tokenizer as llama.cpp's metadata have it: texts, scores and kinds of all tokens, special ids, the chat template; as its converter
/// writes them.
struct GGUFVocabulary {
    var metadata: [(name: String, value: GGUFWriter.Value)] = []
    var warnings: [String] = []

    var texts: [[UInt8]] = []
    private var scores: [Float] = []
    var kinds: [Int32] = []

    /// Scores of ids without a piece, and of tokens added beside the model.
    private static let unusedScore: Float = -10_000
    private static let addedScore: Float = -1000

    /// - Parameter isInternLM2: whether llama.cpp's rules for InternLM2 apply, whose model has pieces for the use of others.
    init(_ model: any ModelSource, isInternLM2: Bool) throws(CrayonError) {
        let pieces: SentencePieceModel
        if let file = model.file("tokenizer.model") {
            pieces = try SentencePieceModel(file.region, name: "\(model.place): tokenizer.model")
        } else if let json = try Self.json(model), json.isBytePair, json.isByteLevel {
            try addBytePairs(json, model)
            return
        } else if let json = try Self.json(model), let made = try SentencePieceModel(json) {
            pieces = made
        } else {
            metadata.append(("tokenizer.ggml.model", .string("none")))
            warnings.append(
                "the model carries no tokenizer that GGUF has a place for: no tokenizer.model, and no tokenizer.json with BPE; the "
                    + "file has no vocabulary, and llama.cpp runs on token ids alone")
            return
        }
        let files = try TokenizerFiles(place: model.place) { (name) throws(CrayonError) in model.file(name)?.region }
        addPieces(pieces, count: model.configuration.backbone.vocabularySize, isInternLM2: isInternLM2)
        let config = try Self.reader(model)
        try addTokens(files, config, model.configuration.tokens)
        metadata += [
            ("tokenizer.ggml.model", .string("llama")), ("tokenizer.ggml.pre", .string("default")),
            ("tokenizer.ggml.tokens", .strings(texts)), ("tokenizer.ggml.scores", .float32s(scores)),
            ("tokenizer.ggml.token_type", .int32s(kinds)),
        ]
        addSpecialTokens(
            files, model.configuration.tokens, begin: pieces.beginText, end: pieces.endText,
            unknown: pieces.pieces.firstIndex { $0.kind == .unknown })
        metadata.append(("tokenizer.ggml.add_space_prefix", .bool(pieces.addsDummyPrefix)))
        if let template = try config?.optionalString("chat_template") {
            metadata.append(("tokenizer.chat_template", .string(template)))
        }
        warnOfRules(pieces)
    }

    private static func json(_ model: any ModelSource) throws(CrayonError) -> TokenizerJSON? {
        guard let file = model.file("tokenizer.json") else { return nil }
        return try TokenizerJSON(file.region, place: "\(model.place): tokenizer.json")
    }

    static func reader(_ model: any ModelSource) throws(CrayonError) -> JSONReader? {
        let name = "tokenizer_config.json"
        guard let file = model.file(name) else { return nil }
        let place = "\(model.place): \(name)"
        return try JSONReader(JSONValue.parse(file.region.buffer, name: place), place: place)
    }

    private mutating func addPieces(_ model: SentencePieceModel, count: Int, isInternLM2: Bool) {
        if model.pieces.count > count {
            warnings.append(
                "left out, beyond the vocabulary of \(count): \(model.pieces.count - count) pieces of the tokenizer")
        }
        for id in 0..<count {
            guard id < model.pieces.count else {
                texts.append(Array("[PAD\(id)]".utf8))
                scores.append(Self.unusedScore)
                kinds.append(SentencePieceModel.PieceKind.unused.rawValue)
                continue
            }
            let piece = model.pieces[id]
            var kind = piece.kind
            if isInternLM2, piece.text.starts(with: "[UNUSED".utf8) { kind = .unused }
            // A text for C may have no zero in it.
            texts.append(piece.text == [0] ? Array("\u{1F409}".utf8) : piece.text)
            scores.append(piece.score)
            kinds.append(kind.rawValue)
        }
    }

    private mutating func addTokens(
        _ files: TokenizerFiles, _ config: JSONReader?, _ tokens: SpecialTokens
    ) throws(CrayonError) {
        let decoder = try config?.optionalObject("added_tokens_decoder")
        // Of a tokenizer.json, which says it itself.
        var marked: [Int: Bool] = [:]
        if case .json = files.vocabulary { for token in files.addedTokens { marked[Int(token.id)] = token.isSpecial } }
        var added: [(id: Int, text: String)] = files.addedTokens.map { (Int($0.id), $0.text) }
        added += tokens.added.map { ($0.value, $0.key) }
        var beyond: Set<String> = []
        for (id, text) in added.sorted(by: { ($0.id, $0.text) < ($1.id, $1.text) }) {
            guard texts.indices.contains(id) else {
                beyond.insert(text)
                continue
            }
            let entry = try decoder?.optionalObject(String(id))
            let isSpecial = try entry?.optionalBool("special") ?? marked[id] ?? false
            // The model's own text may have spaces in its way of writing them.
            texts[id] = Array(isSpecial ? text.utf8 : text.replacing("\u{2581}", with: " ").utf8)
            scores[id] = Self.addedScore
            kinds[id] = (isSpecial ? SentencePieceModel.PieceKind.control : .userDefined).rawValue
        }
        if !beyond.isEmpty {
            warnings.append("left out, beyond the vocabulary: the tokens \(beyond.sorted().joined(separator: ", "))")
        }
    }

    /// - Parameters:
    ///   - beginText: of the token that counts where the model names none, and `endText` likewise.
    mutating func addSpecialTokens(
        _ files: TokenizerFiles, _ tokens: SpecialTokens, begin beginText: [UInt8]?, end endText: [UInt8]?,
        unknown: Int?
    ) {
        func id(of text: [UInt8]?) -> Int? { text.flatMap { texts.firstIndex(of: $0) } }
        func add(_ name: String, _ id: Int?) {
            guard let id, texts.indices.contains(id) else { return }
            metadata.append(("tokenizer.ggml.\(name)_token_id", .uint32(UInt32(id))))
        }
        add("bos", tokens.begin ?? id(of: beginText))
        add("eos", tokens.end.first ?? id(of: endText))
        if tokens.end.count > 1 { add("eot", tokens.end[1]) }
        if tokens.end.count > 2 {
            warnings.append("left out, since GGUF has two tokens that end an answer: \(tokens.end.dropFirst(2))")
        }
        add("unknown", unknown)
        add("padding", files.specialTokens["pad_token"].flatMap { id(of: Array($0.utf8)) })
        metadata.append(("tokenizer.ggml.add_bos_token", .bool(tokens.begin != nil)))
    }

    /// llama.cpp cuts texts by merging and normalises nothing.
    private mutating func warnOfRules(_ model: SentencePieceModel) {
        var differences: [String] = []
        if model.kind != .bpe { differences.append("it chooses the likeliest pieces, llama.cpp merges neighbours") }
        if !model.characterMap.isEmpty { differences.append("it normalises characters") }
        if model.removesExtraSpaces { differences.append("it drops spaces that repeat") }
        guard !differences.isEmpty else { return }
        warnings.append(
            "llama.cpp may give other token ids than the model's tokenizer: \(differences.joined(separator: "; "))")
    }
}

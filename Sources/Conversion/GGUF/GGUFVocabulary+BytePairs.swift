import Architecture
import Bytes
import Checkpoints
import JSON
import Tokenization

extension GGUFVocabulary {
    /// A byte-level vocabulary: texts, kinds, merges, and the name of the rule that cuts words; as llama.cpp's converter writes them.
    /// - Throws: `CrayonError` for a rule that llama.cpp has no name for here.
    mutating func addBytePairs(_ json: TokenizerJSON, _ model: any ModelSource) throws(CrayonError) {
        let vocabulary = try BytePairVocabulary(json)
        let files = try TokenizerFiles(place: model.place) { (name) throws(CrayonError) in model.file(name)?.region }
        addTexts(vocabulary, files.addedTokens, model.configuration)
        metadata += [
            ("tokenizer.ggml.model", .string("gpt2")),
            (
                "tokenizer.ggml.pre",
                .string(GGUFWordNames.name(of: vocabulary.words, ignoresMerges: vocabulary.ignoresMerges))
            ),
            ("tokenizer.ggml.tokens", .strings(texts)), ("tokenizer.ggml.token_type", .int32s(kinds)),
            ("tokenizer.ggml.merges", .strings(vocabulary.merges.map { Array($0.utf8) })),
        ]
        addSpecialTokens(
            files, model.configuration.tokens, begin: files.specialTokens["bos_token"].map { Array($0.utf8) },
            end: files.specialTokens["eos_token"].map { Array($0.utf8) }, unknown: nil)
        if let template = try Self.reader(model)?.optionalString("chat_template") {
            metadata.append(("tokenizer.chat_template", .string(template)))
        }
        warnOfRules(vocabulary, files.addedTokens)
    }

    private mutating func addTexts(
        _ vocabulary: BytePairVocabulary, _ added: [AddedToken], _ configuration: ModelConfiguration
    ) {
        let count = configuration.backbone.vocabularySize
        texts = (0..<count).map { id in
            let text = id < vocabulary.texts.count ? vocabulary.texts[id] : nil
            return Array((text ?? "[PAD\(id)]").utf8)
        }
        kinds = (0..<count).map { id in
            let isEntry = id < vocabulary.texts.count && vocabulary.texts[id] != nil
            return (isEntry ? SentencePieceModel.PieceKind.normal : .unused).rawValue
        }
        var beyond: Set<String> = []
        let tokens = added.map { (id: Int($0.id), text: $0.text, isSpecial: $0.isSpecial) }
        let known = Set(tokens.map(\.text))
        let further = configuration.tokens.added.filter { !known.contains($0.key) }
        for token in tokens + further.map({ (id: $0.value, text: $0.key, isSpecial: true) }) {
            guard texts.indices.contains(token.id) else {
                beyond.insert(token.text)
                continue
            }
            let isControl = token.isSpecial || Self.looksSpecial(token.text)
            texts[token.id] = Array(token.text.utf8)
            kinds[token.id] = (isControl ? SentencePieceModel.PieceKind.control : .userDefined).rawValue
        }
        let pieces = vocabulary.texts.dropFirst(count).count { $0 != nil }
        if pieces > 0 {
            warnings.append("left out, beyond the vocabulary of \(count): \(pieces) entries of the tokenizer")
        }
        if !beyond.isEmpty {
            warnings.append("left out, beyond the vocabulary: the tokens \(beyond.sorted().joined(separator: ", "))")
        }
    }

    /// Tokens that some models forgot to mark, as llama.cpp's converter finds them.
    private static func looksSpecial(_ text: String) -> Bool {
        ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].contains(text) || text.hasPrefix("<|") && text.hasSuffix("|>")
            || text.hasPrefix("<\u{ff5c}") && text.hasSuffix("\u{ff5c}>")
            || text.hasPrefix("<unused") && text.hasSuffix(">")
    }

    private mutating func warnOfRules(_ vocabulary: BytePairVocabulary, _ added: [AddedToken]) {
        var differences: [String] = []
        if vocabulary.composes { differences.append("it does not normalise (NFC)") }
        if vocabulary.putsSpaceBefore { differences.append("it puts no space before a text") }
        if vocabulary.hasUnknown { differences.append("it has no token for unknown bytes") }
        if vocabulary.ignoresMerges, vocabulary.words != .llama3 {
            differences.append("it merges words that are entries themselves")
        }
        if added.contains(where: { $0.absorbsSpaceBefore || $0.absorbsSpaceAfter || $0.isSingleWord }) {
            differences.append("added tokens take no spaces with them, and need not stand alone")
        }
        guard !differences.isEmpty else { return }
        warnings.append(
            "llama.cpp may give other token ids than the model's tokenizer: \(differences.joined(separator: "; "))")
    }
}

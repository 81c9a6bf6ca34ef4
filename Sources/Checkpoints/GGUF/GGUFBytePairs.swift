import Bytes
public import Tokenization

/// How llama.cpp calls the ways to cut words (`tokenizer.ggml.pre`) that Crayon's scanners know.
///
/// llama.cpp's converter tells them by a hash of the ids of one text; here the expression says which it is.
public enum GGUFWordNames {
    /// Its rule of `ignore_merges` belongs to the name: `dbrx` is `llama-bpe` without.
    public static func name(of words: BytePairVocabulary.Words, ignoresMerges: Bool) -> String {
        switch words {
        case .gpt2: "gpt-2"
        case .llama3: ignoresMerges ? "llama-bpe" : "dbrx"
        case .qwen2: "qwen2"
        }
    }

    /// Nil for other names, whose expressions differ.
    static func words(_ name: String) -> (words: BytePairVocabulary.Words, ignoresMerges: Bool, addsBegin: Bool)? {
        switch name {
        case "gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum",
            "modern-bert":
            (.gpt2, false, false)
        case "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano":
            (.llama3, true, true)
        case "dbrx", "smaug-bpe": (.llama3, false, false)
        case "qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2": (.qwen2, false, false)
        default: nil
        }
    }
}

extension GGUFTokenizer {
    /// A `gpt2` vocabulary as a `tokenizer.json`; false for one whose words are cut in a way that is not known, which is reported.
    ///
    /// Tokens of kind control and user-defined are added tokens, unused ones are left out. Nothing is normalised, as llama.cpp does
    /// not.
    mutating func addBytePairs(_ file: GGUFFile, begin: Int?) throws(CrayonError) -> Bool {
        let name = file.metadata("tokenizer.ggml.pre")?.string ?? "default"
        guard let known = GGUFWordNames.words(name) else {
            warnings.append(
                "\(file.place): a vocabulary whose words are cut by the rule '\(name)', which is not known: 'crayon run' will need "
                    + "a tokenizer.model or a tokenizer.json")
            return false
        }
        let tokens = try list(file, "tokens", "texts") { $0.strings }
        let kinds = try list(file, "token_type", "integers") { $0.integers }
        guard kinds.count == tokens.count else {
            throw CrayonError(
                .mismatch, in: file.place, item: "tokenizer.ggml",
                found: "\(tokens.count) tokens, \(kinds.count) types", expected: "as many of each")
        }
        var vocabulary = BytePairVocabulary(
            texts: [], merges: [], words: known.words, ignoresMerges: known.ignoresMerges, added: [], begin: nil)
        var taken: Set<[UInt8]> = []
        var broken: [Int] = []
        for (id, token) in tokens.enumerated() {
            vocabulary.texts.append(nil)
            let kind = Int32(exactly: kinds[id]).flatMap(SentencePieceModel.PieceKind.init) ?? .normal
            guard kind != .unused else { continue }
            guard let text = String(validating: token.buffer, as: UTF8.self), !text.isEmpty, text.utf8.count <= 4096,
                taken.insert(token.array).inserted
            else {
                broken.append(id)
                continue
            }
            if kind == .control || kind == .userDefined {
                vocabulary.added.append(AddedToken(text, id: Int32(id), isSpecial: kind == .control))
            } else {
                vocabulary.texts[id] = text
            }
        }
        if let first = broken.first {
            warnings.append(
                "\(file.place): \(broken.count) tokens whose text is empty, broken, too long or another's (the first is \(first)): "
                    + "the tokenizer that was made of it never gives them")
        }
        try addMerges(file, to: &vocabulary)
        let addsBegin = file.metadata("tokenizer.ggml.add_bos_token")?.bool ?? known.addsBegin
        vocabulary.begin = addsBegin ? begin.flatMap { Int32(exactly: $0) } : nil
        files.append(("tokenizer.json", vocabulary.tokenizerJSON))
        return true
    }

    private mutating func addMerges(
        _ file: GGUFFile, to vocabulary: inout BytePairVocabulary
    ) throws(CrayonError) {
        let known = Set(vocabulary.texts.compactMap { $0.map { Array($0.utf8) } })
        var left = 0
        for merge in try list(file, "merges", "texts", { $0.strings }) {
            let parts = merge.array.split(separator: 0x20, omittingEmptySubsequences: false)
            guard parts.count == 2, let text = String(validating: merge.buffer, as: UTF8.self),
                [parts[0], parts[1], parts[0] + parts[1]].allSatisfy({ known.contains(Array($0)) })
            else {
                left += 1
                continue
            }
            vocabulary.merges.append(text)
        }
        if left > 0 {
            warnings.append(
                "\(file.place): \(left) merges that make no token of the vocabulary are left out of the tokenizer")
        }
    }
}

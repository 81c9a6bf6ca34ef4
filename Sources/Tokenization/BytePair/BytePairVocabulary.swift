public import Bytes
import JSON

/// A byte-level vocabulary taken apart, as GGUF files have it.
public struct BytePairVocabulary: Sendable {
    /// How text is cut into words.
    public enum Words: Sendable, CaseIterable {
        case gpt2
        case llama3
        case qwen2

        var pattern: WordPattern {
            switch self {
            case .gpt2: .gpt2
            case .llama3: .llama3
            case .qwen2: .qwen2
            }
        }
    }

    /// The entries in the byte alphabet, by id; nil for ids that have none.
    public var texts: [String?]
    /// `"a b"`, the first to be made first.
    public var merges: [String]
    public var words: Words
    /// A word that is an entry is that entry, whatever merges would make of it.
    public var ignoresMerges: Bool
    /// Tokens beside the entries, or some of them.
    public var added: [AddedToken]
    /// The token before a text.
    public var begin: Int32?
    /// Texts are put into normalisation form C.
    public var composes = false
    /// A space is put before a text that does not begin with one.
    public var putsSpaceBefore = false
    public var hasUnknown = false

    public init(
        texts: [String?], merges: [String], words: Words, ignoresMerges: Bool, added: [AddedToken], begin: Int32?
    ) {
        self.texts = texts
        self.merges = merges
        self.words = words
        self.ignoresMerges = ignoresMerges
        self.added = added
        self.begin = begin
    }

    /// - Throws: `CrayonError` for what is not supported, is no byte-level tokenizer, or cuts words by more than one of the
    ///   expressions, or none.
    public init(_ json: TokenizerJSON) throws(CrayonError) {
        let file = try json.file()
        let patterns = file.steps.compactMap { step -> WordPattern? in
            if case .split(let pattern) = step { pattern } else { nil }
        }
        let words = Self.Words.allCases.first { [$0.pattern] == patterns }
        guard file.decoding == .bytes, let words else {
            throw json.refusal(
                "pre_tokenizer", patterns.isEmpty ? "words that are not cut" : "words that are cut twice",
                "words cut by the expression of GPT-2, of Llama 3 or of Qwen2")
        }
        let model = file.model
        let merges = model.merges.sorted { $0.value.rank < $1.value.rank }.map { key, _ in
            [key >> 32, key & 0xffff_ffff].map { model.piece(Int32(truncatingIfNeeded: $0))?.text ?? "" }
                .joined(separator: " ")
        }
        self.init(
            texts: model.pieces.map { $0?.text }, merges: merges, words: words, ignoresMerges: model.ignoresMerges,
            added: try json.addedTokens(), begin: try json.begin())
        composes = file.normalizations.contains(.compose)
        putsSpaceBefore = file.steps.contains(.prefixSpace)
        hasUnknown = model.unknownID != nil
    }

    /// The file of the Python package.
    public var tokenizerJSON: [UInt8] {
        var vocabulary = JSONObject()
        for (id, text) in texts.enumerated() { if let text { vocabulary[text] = .number(JSONNumber(id)) } }
        let split: JSONValue = [
            "type": "Split", "pattern": ["Regex": .string(words.pattern.expression)], "behavior": "Isolated",
            "invert": false,
        ]
        func byteLevel(usesPattern: Bool) -> JSONValue {
            [
                "type": "ByteLevel", "add_prefix_space": .bool(putsSpaceBefore), "trim_offsets": true,
                "use_regex": .bool(usesPattern),
            ]
        }
        let cutting: JSONValue =
            words == .gpt2
            ? byteLevel(usesPattern: true)
            : ["type": "Sequence", "pretokenizers": [split, byteLevel(usesPattern: false)]]
        let whole: JSONValue = [
            "version": "1.0", "truncation": nil, "padding": nil, "added_tokens": .array(added.map(Self.entry)),
            "normalizer": composes ? ["type": "NFC"] : nil, "pre_tokenizer": cutting, "post_processor": template,
            "decoder": byteLevel(usesPattern: true),
            "model": [
                "type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil,
                "end_of_word_suffix": nil, "fuse_unk": false, "byte_fallback": false,
                "ignore_merges": .bool(ignoresMerges), "vocab": .object(vocabulary),
                "merges": .array(merges.map { .string($0) }),
            ],
        ]
        return Array((whole.text() + "\n").utf8)
    }

    private static func entry(_ token: AddedToken) -> JSONValue {
        [
            "id": .number(JSONNumber(Int(token.id))), "content": .string(token.text),
            "single_word": .bool(token.isSingleWord), "lstrip": .bool(token.absorbsSpaceBefore),
            "rstrip": .bool(token.absorbsSpaceAfter), "normalized": .bool(token.isNormalized),
            "special": .bool(token.isSpecial),
        ]
    }

    private var template: JSONValue {
        guard let begin, let token = added.first(where: { $0.id == begin }) else {
            return ["type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true]
        }
        let special: JSONValue = ["SpecialToken": ["id": .string(token.text), "type_id": 0]]
        func sequence(_ name: String, _ type: Int) -> JSONValue {
            ["Sequence": ["id": .string(name), "type_id": .number(JSONNumber(type))]]
        }
        var tokens = JSONObject()
        tokens[token.text] = [
            "id": .string(token.text), "ids": [.number(JSONNumber(Int(begin)))], "tokens": [.string(token.text)],
        ]
        return [
            "type": "TemplateProcessing", "single": [special, sequence("A", 0)],
            "pair": [special, sequence("A", 0), special, sequence("B", 1)], "special_tokens": .object(tokens),
        ]
    }
}

public import Bytes
import JSON

/// A `tokenizer.json`, the file of the Python package `tokenizers`, as far as it describes a BPE tokenizer: a byte-level one, or a
/// SentencePiece model in this form.
///
/// What such a tokenizer may consist of is listed in `Formats/tokenizer.md`; every other component is refused by its
/// name, because ids would differ.
public struct TokenizerJSON: Sendable {
    let reader: JSONReader

    /// - Throws: `CrayonError` for bytes that are no JSON object.
    public init(_ region: ByteRegion, place: String) throws(CrayonError) {
        reader = try JSONReader(JSONValue.parse(region, name: place), place: place)
    }

    /// Whether the model is one that is read; of a Unigram or WordPiece model nothing is.
    public var isBytePair: Bool {
        guard case .object(let model)? = reader.object["model"] else { return false }
        guard case .string(let name)? = model["type"] else { return model["merges"] != nil }
        return name == "BPE"
    }

    /// Whether words are cut into bytes, as opposed to a SentencePiece model in this form.
    public var isByteLevel: Bool {
        Self.components(reader.object["pre_tokenizer"], list: "pretokenizers").contains { Self.type($0) == "ByteLevel" }
    }

    /// The ids and texts beside the vocabulary.
    public func addedTokens() throws(CrayonError) -> [AddedToken] {
        guard try reader.optionalArray("added_tokens") != nil else { return [] }
        var tokens: [AddedToken] = []
        for entry in try reader.objects("added_tokens") {
            let text = try entry.string("content")
            let number = try entry.int("id")
            guard (1...Self.longestToken).contains(text.utf8.count), (0..<1 << 28).contains(number) else {
                throw CrayonError(
                    .malformed, in: reader.place, item: "key '\(entry.path)'",
                    found: "\(text.utf8.count) bytes of text with id \(number)",
                    expected: "1 to \(Self.longestToken) bytes, and an id below 2^28")
            }
            let isSpecial = try entry.optionalBool("special") ?? false
            tokens.append(
                AddedToken(
                    text, id: Int32(number), absorbsSpaceBefore: try entry.optionalBool("lstrip") ?? false,
                    absorbsSpaceAfter: try entry.optionalBool("rstrip") ?? false,
                    isSingleWord: try entry.optionalBool("single_word") ?? false,
                    isNormalized: try entry.optionalBool("normalized") ?? !isSpecial, isSpecial: isSpecial))
        }
        return tokens
    }

    /// An added token's text is looked for at every place, so its length bounds the time of a byte.
    private static let longestToken = 4096

    /// The token that the post-processor puts before a text; nil where it puts none.
    /// - Throws: `CrayonError` for a post-processor of another kind, and one that puts more.
    public func begin() throws(CrayonError) -> Int32? {
        var begin: Int32?
        for value in Self.components(reader.object["post_processor"], list: "processors") {
            switch Self.type(value) {
            case nil, "ByteLevel": continue
            case "TemplateProcessing":
                begin = try template(JSONReader(value, place: reader.place, path: "post_processor"))
            case let name?: throw refusal("post_processor", name, "ByteLevel, TemplateProcessing")
            }
        }
        return begin
    }

    private func template(_ template: JSONReader) throws(CrayonError) -> Int32? {
        var ids: [Int] = []
        var hasText = false
        for piece in try template.objects("single") {
            if piece.object["Sequence"] != nil {
                hasText = true
                continue
            }
            let name = try piece.object("SpecialToken").string("id")
            guard !hasText else {
                throw refusal("post_processor.single", "'\(name)' after the text", "at most one token, before it")
            }
            ids += try template.object("special_tokens").object(name).ints("ids")
        }
        guard ids.count <= 1 else {
            throw refusal("post_processor.single", "\(ids.count) tokens before the text", "at most one")
        }
        guard let id = ids.first else { return nil }
        guard (0..<1 << 28).contains(id) else {
            throw refusal("post_processor.special_tokens", "id \(id)", "an id below 2^28")
        }
        return Int32(id)
    }

    /// Everything that encoding and decoding need.
    /// - Throws: `CrayonError` for components that are not supported, and for a broken vocabulary.
    func file() throws(CrayonError) -> BytePairFile {
        _ = try begin()
        guard isByteLevel else { return try spacedFile() }
        try checkDecoder()
        return BytePairFile(
            place: reader.place, model: try model(.bytes), normalizations: try composition(), steps: try steps(),
            decoding: .bytes)
    }

    private func composition() throws(CrayonError) -> [BytePairFile.Normalization] {
        var normalizations: [BytePairFile.Normalization] = []
        for value in Self.components(reader.object["normalizer"], list: "normalizers") {
            guard Self.type(value) == "NFC" else {
                throw refusal("normalizer", Self.type(value) ?? value.kind, "NFC, or none")
            }
            normalizations = [.compose]
        }
        return normalizations
    }

    private func steps() throws(CrayonError) -> [BytePairFile.Step] {
        var steps: [BytePairFile.Step] = []
        var isInBytes = false
        for value in Self.components(reader.object["pre_tokenizer"], list: "pretokenizers") {
            let component = try JSONReader(value, place: reader.place, path: "pre_tokenizer")
            let name = Self.type(value) ?? "a component without a type"
            guard !isInBytes else { throw refusal("pre_tokenizer", "\(name) after ByteLevel", "ByteLevel at the end") }
            switch name {
            case "ByteLevel":
                if try component.optionalBool("add_prefix_space") ?? true { steps.append(.prefixSpace) }
                if try component.optionalBool("use_regex") ?? true { steps.append(.split(.gpt2)) }
                isInBytes = true
            case "Split": steps.append(.split(try pattern(component)))
            default: throw refusal("pre_tokenizer", name, "ByteLevel, Split, Sequence")
            }
        }
        return steps
    }

    /// The patterns match all of a text, so that what becomes of the rest between two matches makes no difference.
    private func pattern(_ split: JSONReader) throws(CrayonError) -> WordPattern {
        let behavior = try split.string("behavior")
        let inverted = try split.optionalBool("invert") ?? false
        guard behavior == "Isolated" || behavior == "Removed" && inverted else {
            throw refusal(
                "pre_tokenizer.behavior", "'\(behavior)'\(inverted ? ", inverted" : "")",
                "'Isolated', or 'Removed' inverted")
        }
        let text = try split.object("pattern").string("Regex")
        guard let pattern = WordPattern(expression: text) else {
            throw refusal(
                "pre_tokenizer.pattern", "the expression \(text.prefix(200))",
                "that of GPT-2, of Llama 3 or of Qwen2")
        }
        return pattern
    }

    private func checkDecoder() throws(CrayonError) {
        let names = Self.components(reader.object["decoder"], list: "decoders").map { Self.type($0) ?? $0.kind }
        guard names == ["ByteLevel"] else {
            throw refusal("decoder", names.isEmpty ? "none" : names.joined(separator: ", "), "ByteLevel")
        }
    }

    /// The parts of a component that may be a sequence; empty for null.
    static func components(_ value: JSONValue?, list: String) -> [JSONValue] {
        guard let value, case .object(let object) = value else { return value.map { $0 == .null ? [] : [$0] } ?? [] }
        guard type(value) == "Sequence", case .array(let parts)? = object[list] else { return [value] }
        // The parser bounds how deep a file nests.
        return parts.flatMap { components($0, list: list) }
    }

    static func type(_ value: JSONValue) -> String? {
        guard case .object(let object) = value, case .string(let name)? = object["type"] else { return nil }
        return name
    }

    func refusal(_ key: String, _ found: String, _ expected: String, advice: String? = nil) -> CrayonError {
        CrayonError(
            .unsupported, in: reader.place, item: "key '\(key)'", found: found, expected: expected, advice: advice)
    }
}

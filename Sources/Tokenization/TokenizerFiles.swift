public import Bytes
import Foundation
import JSON

/// A tokenizer as a checkpoint's folder holds it: `tokenizer.model` or a `tokenizer.json` with a BPE model, and what the Hugging
/// Face files beside it say about added tokens and their use.
public struct TokenizerFiles: Sendable {
    /// What the ids are ids of. Where both are there, `tokenizer.model` is read.
    public let vocabulary: Vocabulary
    public private(set) var addedTokens: [AddedToken] = []
    /// `add_bos_token`; true where nothing is said, as for Llama, InternLM and CoLLaVO.
    public private(set) var addsBOS = true
    /// `legacy: false`, which Llama's tokenizers may say, means `firstSegment`.
    public private(set) var dummyPrefix = SentencePieceTokenizer.DummyPrefix.everySegment
    /// The special tokens' texts, from `special_tokens_map.json` or `tokenizer_config.json`: `bos_token` -> `<s>`.
    public private(set) var specialTokens: [String: String] = [:]
    /// Those of `addedTokens` read so far, by UTF-8, because strings compare by canonical equivalence.
    private var idsByText: [[UInt8]: Int32] = [:]

    public enum Vocabulary: Sendable {
        /// The bytes of `tokenizer.model`, and what errors call it.
        case sentencePiece(ByteRegion, name: String)
        case json(TokenizerJSON)
    }

    /// The names of the files that are read, in a checkpoint's folder.
    public static let names = [
        "tokenizer.model", "tokenizer.json", "added_tokens.json", "tokenizer_config.json", "special_tokens_map.json",
    ]

    /// Reads a folder. Only `tokenizer.model` or `tokenizer.json` must be there.
    ///
    /// Added tokens are those of `tokenizer.json`, where that is read, of `tokenizer_config.json` (`added_tokens_decoder`, with
    /// their flags), of `added_tokens.json`, and the special tokens that are entries of the vocabulary: as in Hugging
    /// Face, `</s>` in a text is the token.
    ///
    /// - Throws: `CrayonError` for a missing or broken file, and where two files give one text two ids.
    public init(directory: String) throws(CrayonError) {
        func path(_ name: String) -> String { directory.hasSuffix("/") ? directory + name : directory + "/" + name }
        try self.init(place: directory) { (name) throws(CrayonError) in
            FileManager.default.fileExists(atPath: path(name)) ? try MappedFile(path: path(name)).whole : nil
        }
    }

    /// Reads files that are in memory already, such as a bundle's.
    /// - Parameters:
    ///   - place: what errors name before the file's name.
    ///   - file: the bytes of a file of `names`; nil where there is none.
    /// - Throws: as for a folder.
    public init(place: String, file: (String) throws(CrayonError) -> ByteRegion?) throws(CrayonError) {
        func path(_ name: String) -> String { place.hasSuffix("/") ? place + name : place + "/" + name }
        if let model = try file("tokenizer.model") {
            vocabulary = .sentencePiece(model, name: path("tokenizer.model"))
        } else if let text = try file("tokenizer.json") {
            let json = try TokenizerJSON(text, place: path("tokenizer.json"))
            vocabulary = .json(json)
            for token in try json.addedTokens() { try add(token, json.reader) }
        } else {
            throw CrayonError(
                .missing, in: place, item: "tokenizer.model or tokenizer.json", found: "neither",
                expected: "a SentencePiece model, or a BPE tokenizer of the package 'tokenizers'")
        }
        func reader(_ name: String) throws(CrayonError) -> JSONReader? {
            guard let region = try file(name) else { return nil }
            return try JSONReader(JSONValue.parse(region.buffer, name: path(name)), place: path(name))
        }
        if let config = try reader("tokenizer_config.json") {
            addsBOS = try config.optionalBool("add_bos_token") ?? true
            if try config.optionalBool("legacy") == false { dummyPrefix = .firstSegment }
            try readSpecialTokens(config)
            if let decoder = try config.optionalObject("added_tokens_decoder") { try readDecoder(decoder) }
        }
        if let added = try reader("added_tokens.json") { try readAdded(added) }
        if let special = try reader("special_tokens_map.json") { try readSpecialTokens(special) }
    }

    /// The tokenizer, its special tokens among the added ones.
    /// - Parameter extra: further tokens, such as a bundle's or `<image>`; those of known text are left out.
    /// - Throws: `CrayonError` for a broken vocabulary, and one of a kind that is not supported.
    public func makeTokenizer(adding extra: [AddedToken] = []) throws(CrayonError) -> any Tokenizer {
        switch vocabulary {
        case .sentencePiece(let model, let name):
            let plain = try SentencePieceTokenizer(model: model, name: name)
            return try SentencePieceTokenizer(
                model: model, name: name, addedTokens: tokens(adding: extra) { plain.id(of: $0) },
                dummyPrefix: dummyPrefix)
        case .json(let json):
            let file = try json.file()
            return try BytePairTokenizer(
                file, addedTokens: tokens(adding: extra) { file.model.ids[Array($0.utf8)] },
                begin: specialTokens["bos_token"], end: specialTokens["eos_token"])
        }
    }

    private func tokens(adding extra: [AddedToken], id: (String) -> Int32?) -> [AddedToken] {
        var tokens = addedTokens
        var known = Set(tokens.map { Array($0.text.utf8) })
        for text in Set(specialTokens.values).sorted() {
            guard let id = id(text), known.insert(Array(text.utf8)).inserted else { continue }
            tokens.append(AddedToken(text, id: id))
        }
        for token in extra where known.insert(Array(token.text.utf8)).inserted { tokens.append(token) }
        return tokens
    }

    /// `{"<image>": 92544}`
    private mutating func readAdded(_ added: JSONReader) throws(CrayonError) {
        for text in added.object.names { try add(AddedToken(text, id: Self.id(added.int(text), text, added)), added) }
    }

    /// `{"92544": {"content": "<image>", "lstrip": false, …}}`
    private mutating func readDecoder(_ decoder: JSONReader) throws(CrayonError) {
        for key in decoder.object.names {
            let token = try decoder.object(key)
            guard let number = Int(key) else {
                throw CrayonError(
                    .malformed, in: decoder.place, item: "key '\(decoder.path).\(key)'", found: "no number",
                    expected: "a token id")
            }
            let text = try token.string("content")
            let isSpecial = try token.optionalBool("special") ?? false
            try add(
                AddedToken(
                    text, id: Self.id(number, text, decoder), absorbsSpaceBefore: token.optionalBool("lstrip") ?? false,
                    absorbsSpaceAfter: token.optionalBool("rstrip") ?? false,
                    isSingleWord: token.optionalBool("single_word") ?? false,
                    isNormalized: token.optionalBool("normalized") ?? !isSpecial, isSpecial: isSpecial), decoder)
        }
    }

    /// Values are texts, or objects with `content`, or lists of either (`additional_special_tokens`, left out:
    /// their ids stand among the added tokens).
    private mutating func readSpecialTokens(_ map: JSONReader) throws(CrayonError) {
        for key in map.object.names where key.hasSuffix("_token") {
            switch map.object[key] {
            case .string(let text): specialTokens[key] = text
            case .object(let object):
                specialTokens[key] = try JSONReader(object, place: map.place, path: key).string("content")
            default: continue
            }
        }
    }

    private mutating func add(_ token: AddedToken, _ source: JSONReader) throws(CrayonError) {
        guard !token.text.isEmpty else {
            throw CrayonError(.malformed, in: source.place, found: "an added token \(token.id) without text")
        }
        if let other = idsByText[Array(token.text.utf8)] {
            guard other == token.id else {
                throw CrayonError(
                    .mismatch, in: source.place, item: "added token \(token.text)", found: "id \(token.id)",
                    expected: "\(other), its id in another place")
            }
            return
        }
        idsByText[Array(token.text.utf8)] = token.id
        addedTokens.append(token)
    }

    private static func id(_ number: Int, _ text: String, _ source: JSONReader) throws(CrayonError) -> Int32 {
        guard let id = Int32(exactly: number), id >= 0 else {
            throw CrayonError(
                .malformed, in: source.place, item: "added token \(text)", found: "id \(number)", expected: "a token id"
            )
        }
        return id
    }
}

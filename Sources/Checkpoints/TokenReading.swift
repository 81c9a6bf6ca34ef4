import Architecture
import Bytes
import JSON
import Tokenization

/// Special tokens, as spread over a model folder's small files.
struct TokenReading {
    let folder: FolderFiles
    let config: JSONReader?

    /// - Parameters:
    ///   - hasImages: whether there is an `<image>` token, by default the first id past the vocabulary.
    ///   - known: its id, where config.json gives it.
    func read(vocabularySize: Int, hasImages: Bool, image known: Int? = nil) throws(CrayonError) -> SpecialTokens {
        let generation = try reader("generation_config.json")
        let tokenizer = try reader("tokenizer_config.json")
        var added: [String: Int] = [:]
        if let file = try reader("added_tokens.json") {
            for text in file.object.names { added[text] = try id(file.int(text), file, text) }
        }
        if let decoder = try tokenizer?.optionalObject("added_tokens_decoder") {
            for (key, _) in decoder.object.members {
                guard let number = Int(key) else {
                    throw CrayonError(
                        .malformed, in: decoder.place, item: "key '\(decoder.path).\(key)'", found: "no number",
                        expected: "a token id")
                }
                added[try decoder.object(key).string("content")] = try id(number, decoder, key)
            }
        }
        var begin = try config?.optionalInt("bos_token_id")
        if begin == nil { begin = try generation?.optionalInt("bos_token_id") }
        if let json = try bytePairTokenizer() {
            for token in try json.addedTokens() { added[token.text] = Int(token.id) }
            begin = try self.begin(json)
        }
        if let tokenizer {
            // Qwen2 names an id in config.json that its tokenizer never puts.
            let isSwitchedOff = try tokenizer.optionalBool("add_bos_token") == false
            if isSwitchedOff || tokenizer.object["bos_token"] == .null { begin = nil }
        }
        if let begin, begin < 0 || begin >= vocabularySize {
            throw CrayonError(
                .mismatch, in: config?.place ?? folder.path, item: "key 'bos_token_id'", found: "\(begin)",
                expected: "0 to \(vocabularySize - 1)")
        }
        var end: [Int] = []
        for token in try ids(config, "eos_token_id") + ids(generation, "eos_token_id") where !end.contains(token) {
            end.append(token)
        }
        var image: Int?
        if hasImages {
            let token = known ?? added["<image>"] ?? vocabularySize
            if let other = added["<image>"], other != token {
                throw CrayonError(
                    .mismatch, in: config?.place ?? folder.path, item: "token '<image>'", found: "id \(token)",
                    expected: "\(other), which the tokenizer's files give it")
            }
            added["<image>"] = token
            image = token
        }
        return SpecialTokens(begin: begin, end: end, image: image, added: added)
    }

    /// A `tokenizer.json` that is the model's tokenizer.
    private func bytePairTokenizer() throws(CrayonError) -> TokenizerJSON? {
        guard try folder.bytes("tokenizer.model") == nil, let text = try folder.bytes("tokenizer.json") else {
            return nil
        }
        let json = try TokenizerJSON(text, place: "\(folder.path)/tokenizer.json")
        return json.isBytePair ? json : nil
    }

    /// What the tokenizer puts before a text, whatever config.json names. A post-processor that is not read is an error of
    /// those who need the tokenizer.
    private func begin(_ json: TokenizerJSON) throws(CrayonError) -> Int? {
        do throws(CrayonError) {
            return try json.begin().map { Int($0) }
        } catch {
            guard error.code == .unsupported else { throw error }
            return nil
        }
    }

    private func reader(_ name: String) throws(CrayonError) -> JSONReader? { try folder.reader(name) }

    private func id(_ value: Int, _ reader: JSONReader, _ key: String) throws(CrayonError) -> Int {
        guard (0..<LayoutContext.rowLimit).contains(value) else {
            throw CrayonError(
                .malformed, in: reader.place, item: "key '\(key)'", found: "\(value)", expected: "a token id")
        }
        return value
    }

    /// One id or a list of them.
    private func ids(_ reader: JSONReader?, _ key: String) throws(CrayonError) -> [Int] {
        guard let reader else { return [] }
        if case .array? = reader.object[key] { return try reader.ints(key) }
        return try reader.optionalInt(key).map { [$0] } ?? []
    }
}

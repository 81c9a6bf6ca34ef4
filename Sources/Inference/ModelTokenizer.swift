public import Architecture
public import Bytes
public import Checkpoints
public import Tokenization

extension ModelSource {
    /// The tokenizer that the model carries, with the added tokens that its files and its configuration name, and `<image>`.
    /// - Throws: `CrayonError` for a model without one, for broken files, and for a tokenizer of an unknown kind.
    public func tokenizer() throws(CrayonError) -> any Tokenizer {
        let files = try TokenizerFiles(place: place) { (name) throws(CrayonError) in file(name)?.region }
        return try files.makeTokenizer(adding: configuration.tokens.addedTokens(in: place))
    }
}

extension SpecialTokens {
    /// `added` and the picture's mark as the tokenizer takes them.
    func addedTokens(in place: String) throws(CrayonError) -> [AddedToken] {
        var ids = added
        if let image { ids[PromptTemplate.imageMark] = image }
        var tokens: [AddedToken] = []
        for (text, id) in ids.sorted(by: { $0.value < $1.value }) {
            guard let id = Int32(exactly: id), id >= 0 else {
                throw CrayonError(
                    .malformed, in: place, item: "added token \(text)", found: "id \(id)", expected: "a token id")
            }
            tokens.append(AddedToken(text, id: id))
        }
        return tokens
    }
}

extension PromptTemplate {
    /// Marks where a picture's embeddings stand.
    public static let imageMark = "<image>"
}

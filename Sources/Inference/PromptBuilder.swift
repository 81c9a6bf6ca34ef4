public import Architecture
public import Bytes
public import Models
public import Tokenization

/// Turns a conversation into a model's input, by a template.
///
/// The text is the template's `begin`, then for each turn `image` once for every picture, `objects` where a picture
/// has a panoptic map, `user`, `assistant`, and `answer` once it is answered. A question that holds `<image>` marks itself
/// says where its pictures stand. The whole text is cut at `<image>`; each piece between is encoded on its own, with the
/// added tokens' texts in it as those tokens.
public struct PromptBuilder: Sendable {
    public let template: PromptTemplate
    public let tokens: SpecialTokens
    public let tokenizer: any Tokenizer

    public init(template: PromptTemplate, tokens: SpecialTokens, tokenizer: any Tokenizer) {
        self.template = template
        self.tokens = tokens
        self.tokenizer = tokenizer
    }

    /// The conversation as text.
    /// - Throws: `CrayonError` for a question with another number of marks than pictures.
    public func text(_ turns: [Turn]) throws(CrayonError) -> String { try PromptText(template).text(turns) }

    /// The conversation as token ids and pictures.
    /// - Throws: `CrayonError` as `text` does, and where the tokenizer fails.
    public func input(_ turns: [Turn]) throws(CrayonError) -> ModelInput {
        ModelInput(tokens: try sequence(try text(turns)), images: turns.flatMap(\.pictures).map(\.input))
    }

    /// A conversation's text, or the beginning of one, as token ids.
    func sequence(_ text: String) throws(CrayonError) -> [Int] {
        (tokens.begin.map { [$0] } ?? []) + (try ids(of: text))
    }

    func ids(of text: String) throws(CrayonError) -> [Int] {
        let pieces = text.split(separator: PromptTemplate.imageMark, omittingEmptySubsequences: false)
        guard pieces.count > 1 else { return try tokenizer.encode(text).map(Int.init) }
        guard let image = tokens.image else {
            throw CrayonError(
                .usage, in: "question", found: PromptTemplate.imageMark,
                expected: "text only: the model has no token for a picture")
        }
        // A tokenizer that knows the mark also knows what becomes of the spaces around it.
        if let id = tokenizer.id(of: PromptTemplate.imageMark), Int(id) == image {
            return try tokenizer.encode(text).map(Int.init)
        }
        var ids: [Int] = []
        for (index, piece) in pieces.enumerated() {
            if index > 0 { ids.append(image) }
            if !piece.isEmpty { ids += try tokenizer.encode(String(piece)).map(Int.init) }
        }
        return ids
    }
}

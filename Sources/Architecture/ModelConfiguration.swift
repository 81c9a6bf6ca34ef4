/// A whole model: what its parts are, whatever layout they were read from.
public struct ModelConfiguration: Codable, Equatable, Sendable {
    /// Name of the layout that described the source.
    public var layout: String
    public var backbone: BackboneConfiguration
    /// Nil for a text-only model, with `crayon`.
    public var vision: VisionConfiguration?
    public var crayon: CrayonConfiguration?
    public var lowRankSets: [LowRankSet]
    public var tokens: SpecialTokens
    public var prompt: PromptTemplate

    public init(
        layout: String, backbone: BackboneConfiguration, vision: VisionConfiguration? = nil,
        crayon: CrayonConfiguration? = nil, lowRankSets: [LowRankSet] = [], tokens: SpecialTokens,
        prompt: PromptTemplate
    ) {
        self.layout = layout
        self.backbone = backbone
        self.vision = vision
        self.crayon = crayon
        self.lowRankSets = lowRankSets
        self.tokens = tokens
        self.prompt = prompt
    }
}

/// Token ids with a meaning of their own.
public struct SpecialTokens: Codable, Equatable, Sendable {
    /// Put before the prompt when there is one.
    public var begin: Int?
    /// Any of these ends an answer.
    public var end: [Int]
    /// Stands for a picture in `input_ids`; replaced by its embeddings.
    public var image: Int?
    /// Tokens that the tokenizer's own model does not know, by text.
    public var added: [String: Int]

    public init(begin: Int?, end: [Int], image: Int? = nil, added: [String: Int] = [:]) {
        self.begin = begin
        self.end = end
        self.image = image
        self.added = added
    }
}

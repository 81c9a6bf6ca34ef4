public import Architecture
public import Bytes
public import Checkpoints
import Datasets
import Images
public import Inference
public import Models
public import Tokenization

/// A model as it is asked: what of it takes part, and what it is told.
public struct ModelUnderTest: Sendable {
    public let model: VisionLanguageModel
    public let builder: PromptBuilder
    /// Whether pictures come with their panoptic maps. Without, every part of a picture is unknown to the crayon prompt, and the
    /// template names no objects.
    public let tellsMaps: Bool
    public let name: String
    /// How many answers are made at a time, see `BatchGenerator`.
    public let batch: Int

    /// - Parameters:
    ///   - template: nil for the model's own.
    ///   - tellsMaps: nil for yes where the crayon prompt takes part.
    ///   - name: what tables call it; nil for where it was read from.
    public init(
        _ model: VisionLanguageModel, tokenizer: any Tokenizer, template: PromptTemplate? = nil, tellsMaps: Bool? = nil,
        name: String? = nil, batch: Int = 1
    ) {
        self.batch = batch
        self.model = model
        builder = PromptBuilder(
            template: template ?? model.configuration.prompt, tokens: model.configuration.tokens, tokenizer: tokenizer)
        self.tellsMaps = tellsMaps ?? model.options.usesCrayon
        self.name = name ?? model.place
    }

    /// Loads it.
    /// - Throws: `CrayonError` as `VisionLanguageModel` does, and for a model without a tokenizer.
    public init(
        source: any ModelSource, options: VisionLanguageModel.Options = .init(), template: PromptTemplate? = nil,
        tellsMaps: Bool? = nil, name: String? = nil, batch: Int = 1
    ) throws(CrayonError) {
        self.init(
            try VisionLanguageModel(source: source, options: options),
            tokenizer: try source.tokenizer(), template: template, tellsMaps: tellsMaps, name: name,
            batch: batch)
    }

    /// Pictures made ready for it.
    func pictures(_ pictures: [ExamplePicture]) throws(CrayonError) -> [Picture] {
        var ready: [Picture] = []
        for picture in pictures {
            ready.append(
                try Picture(
                    picture.read(), maps: tellsMaps ? picture.maps : nil, for: model.configuration))
        }
        return ready
    }
}

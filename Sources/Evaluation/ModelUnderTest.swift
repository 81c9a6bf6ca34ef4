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

    /// - Parameters:
    ///   - template: nil for the model's own.
    ///   - tellsMaps: nil for yes where the crayon prompt takes part.
    ///   - name: what tables call it; nil for where it was read from.
    public init(
        _ model: VisionLanguageModel, tokenizer: any Tokenizer, template: PromptTemplate? = nil, tellsMaps: Bool? = nil,
        name: String? = nil
    ) {
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
        tellsMaps: Bool? = nil, name: String? = nil
    ) throws(CrayonError) {
        self.init(
            try VisionLanguageModel(source: source, options: options),
            tokenizer: try SentencePieceTokenizer(source: source), template: template, tellsMaps: tellsMaps, name: name)
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

/// Asks one question after the other about the same pictures. What stands before the questions, the pictures among it, is
/// computed once.
struct Questioning {
    private let model: ModelUnderTest
    private let pictures: [Picture]
    private let generator: Generator
    private let options: GenerationOptions

    init(_ model: ModelUnderTest, _ pictures: [ExamplePicture], maxNewTokens: Int) throws(CrayonError) {
        self.model = model
        self.pictures = try model.pictures(pictures)
        // One for each picture: it keeps the features of all that it has seen.
        generator = Generator(model: model.model, tokenizer: model.builder.tokenizer)
        options = GenerationOptions(maxNewTokens: maxNewTokens)
    }

    /// The likeliest answer, token by token.
    func ask(_ question: String) throws(CrayonError) -> Generation {
        try answer([Turn(question: question, pictures: pictures)])
    }

    func answer(_ turns: [Turn]) throws(CrayonError) -> Generation {
        let input = try model.builder.input(turns)
        do {
            return try generator.generate(input, options: options, stop: model.builder.template.stop)
        } catch let error as CrayonError {
            throw error
        } catch {
            throw CrayonError(.io, in: model.name, found: "\(error)")
        }
    }

    var shown: [Picture] { pictures }
}

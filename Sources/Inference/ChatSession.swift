public import Architecture
public import Bytes
public import Checkpoints
public import Models
public import Tokenization

/// A conversation with a model about pictures.
///
///     let chat = try ChatSession(source: BundleReader(path: "model.crayon"))
///     let picture = try Picture(RGBImage(path: "photo.jpg"), for: chat.model.configuration)
///     let answer = try chat.ask("What is on the left?", pictures: [picture]) { print($0, terminator: "") }
///
/// For one thread at a time; several sessions may share a model.
public final class ChatSession {
    public let model: VisionLanguageModel
    public let builder: PromptBuilder
    /// Questions and answers so far.
    public private(set) var turns: [Turn] = []
    private let generator: Generator

    /// - Parameter template: nil for the model's own.
    public init(model: VisionLanguageModel, tokenizer: any Tokenizer, template: PromptTemplate? = nil) {
        self.model = model
        builder = PromptBuilder(
            template: template ?? model.configuration.prompt, tokens: model.configuration.tokens, tokenizer: tokenizer)
        generator = Generator(model: model, tokenizer: tokenizer)
    }

    /// Loads the model and its tokenizer.
    /// - Throws: `CrayonError` as `VisionLanguageModel` does, and for a model without a tokenizer.
    public convenience init(
        source: any ModelSource, options: VisionLanguageModel.Options = .init(), template: PromptTemplate? = nil
    ) throws(CrayonError) {
        let tokenizer = try source.tokenizer()
        self.init(
            model: try VisionLanguageModel(source: source, options: options), tokenizer: tokenizer, template: template)
    }

    /// Asks, and adds question and answer to the conversation.
    ///
    /// - Parameters:
    ///   - pictures: shown with this question; those of earlier turns are still there.
    ///   - onText: called with each piece of the answer as soon as it is certain.
    /// - Throws: `CrayonError`, the conversation then being as it was before; what `onText` throws.
    @discardableResult
    public func ask(
        _ question: String, pictures: [Picture] = [], options: GenerationOptions = GenerationOptions(),
        onText: (String) throws -> Void = { _ in }
    ) throws -> Generation {
        var turn = Turn(question: question, pictures: pictures)
        let input = try builder.input(turns + [turn])
        let generation = try generator.generate(input, options: options, stop: builder.template.stop, onText: onText)
        turn.answer = generation.text
        turns.append(turn)
        return generation
    }

    /// Begins a new conversation.
    public func reset() {
        turns = []
        generator.reset()
    }
}

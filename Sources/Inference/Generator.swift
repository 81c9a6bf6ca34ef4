import Bytes
public import Models
public import Tokenization

/// Continues one sequence, and keeps what the model has seen of it.
///
/// A prompt that begins as the sequence does (the next turn of a conversation) reuses the cache as far as the two agree.
/// For one sequence and one thread at a time.
public final class Generator {
    public let model: VisionLanguageModel
    public let tokenizer: any Tokenizer
    private let sequence: CachedSequence
    private let features = FeatureStore(limit: Generator.keptPictures)

    /// Pictures whose features are kept, beside what the cache holds of them.
    static let keptPictures = 8

    public init(model: VisionLanguageModel, tokenizer: any Tokenizer) {
        self.model = model
        self.tokenizer = tokenizer
        sequence = CachedSequence(model)
    }

    /// Answers a prompt.
    ///
    /// - Parameters:
    ///   - stop: texts that end the answer.
    ///   - onText: called with each piece of text as soon as it is certain; an error that it throws ends the answer.
    /// - Throws: `CrayonError` for an input that does not fit the model and for options that make no sense.
    public func generate(
        _ input: ModelInput, options: GenerationOptions = GenerationOptions(), stop: [String] = [],
        onText: (String) throws -> Void = { _ in }
    ) throws -> Generation {
        var answer = try AnswerInProgress(input, sequence, tokenizer, options, stop: stop)
        try answer.take(answer.firstLogits(of: input, features: features), onText: onText)
        while answer.reason == nil {
            try answer.take(model.steps(tokens: answer.feed, state: sequence.state), onText: onText)
        }
        return answer.generation
    }

    /// Forgets the sequence.
    public func reset() { sequence.reset() }

    /// Positions in the cache.
    public var cachedPositions: Int { sequence.state.count }
}

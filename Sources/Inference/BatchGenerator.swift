public import Bytes
public import Models
import Tensors
public import Tokenization

/// Answers several prompts at a time, each in a sequence of its own: a pass gives several of them their next tokens.
///
/// Prompts are read one by one, each behind what it has in common with any of the sequences (other questions about the same
/// picture). When an answer ends, the next prompt takes its place. For one thread at a time.
public final class BatchGenerator {
    public let model: VisionLanguageModel
    public let tokenizer: any Tokenizer
    private let sequences: [CachedSequence]
    private let features = FeatureStore(limit: Generator.keptPictures)
    private let batch: DecoderBatch
    /// Passes over the weights that followed prefills, of all answers together.
    public var decodingPasses: Int { batch.passCount }
    /// The time that they took.
    public private(set) var decodingSeconds = 0.0

    /// Answers that can be made at a time.
    public var size: Int { sequences.count }

    /// - Parameter size: each has a cache of its own.
    /// - Throws: `CrayonError` for a size outside 1 ... 256.
    public init(model: VisionLanguageModel, tokenizer: any Tokenizer, size: Int) throws(CrayonError) {
        guard (1...BatchGenerator.largestSize).contains(size) else {
            throw CrayonError(
                .usage, in: "batch", found: "\(size) answers at a time", expected: "1 ... \(BatchGenerator.largestSize)"
            )
        }
        self.model = model
        self.tokenizer = tokenizer
        sequences = (0..<size).map { _ in CachedSequence(model) }
        batch = model.makeBatch()
    }

    /// A bound on what a typing error can reserve.
    public static let largestSize = 256

    /// Answers prompts.
    ///
    /// Each answer is the one that it would be alone, with the same seed. Tokens are read with the bits of single steps;
    /// prompts that are read behind different beginnings are equal to rounding, as in a conversation. An answer's statistics
    /// count the steps that it took part in, and the time until it ended.
    ///
    /// - Parameters:
    ///   - next: the next prompt; nil when there is none left.
    ///   - stop: texts that end an answer.
    ///   - onAnswer: called with each answer and its prompt's number, counted from 0, in the order in which they end.
    /// - Throws: `CrayonError` for an input that does not fit the model and for options that make no sense; what `next` and
    ///   `onAnswer` throw.
    public func generate(
        options: GenerationOptions = GenerationOptions(), stop: [String] = [], next: () throws -> ModelInput?,
        onAnswer: (Int, Generation) throws -> Void
    ) throws {
        var open: [(number: Int, answer: AnswerInProgress)] = []
        var count = 0
        var hasMore = true
        while true {
            while hasMore, open.count < size {
                guard let input = try next() else {
                    hasMore = false
                    break
                }
                let answer = try begin(input, beside: open.map(\.answer), options: options, stop: stop)
                open.append((count, answer))
                count += 1
                try close(&open, onAnswer)
            }
            guard !open.isEmpty else { return }
            let start = ContinuousClock.now
            let feeds = open.map { (tokens: $0.answer.feed, state: $0.answer.sequence.state) }
            let logits = try model.steps(feeds, batch: batch)
            var row = 0
            for (index, feed) in feeds.enumerated() {
                try open[index].answer.take(logits, first: row, onText: { _ in })
                row += feed.tokens.count
            }
            decodingSeconds += (ContinuousClock.now - start).seconds
            try close(&open, onAnswer)
        }
    }

    /// Answers prompts, in their order.
    /// - Throws: as above.
    public func generate(
        _ inputs: [ModelInput], options: GenerationOptions = GenerationOptions(), stop: [String] = []
    ) throws -> [Generation] {
        var rest = inputs.makeIterator()
        var answers = [Generation?](repeating: nil, count: inputs.count)
        try generate(options: options, stop: stop, next: { rest.next() }, onAnswer: { answers[$0] = $1 })
        return answers.compactMap(\.self)
    }

    private func begin(
        _ input: ModelInput, beside open: [AnswerInProgress], options: GenerationOptions, stop: [String]
    ) throws -> AnswerInProgress {
        let free = sequences.filter { sequence in !open.contains { $0.sequence === sequence } }
        // The one that has most to offer itself; what another has to offer is copied.
        var (best, most) = (free[0], free[0].agreement(with: input))
        for sequence in free.dropFirst() where sequence.agreement(with: input) > most {
            (best, most) = (sequence, sequence.agreement(with: input))
        }
        var answer = try AnswerInProgress(input, best, tokenizer, options, stop: stop)
        try answer.take(
            answer.firstLogits(of: input, features: features, others: sequences), onText: { _ in })
        return answer
    }

    private func close(
        _ open: inout [(number: Int, answer: AnswerInProgress)], _ onAnswer: (Int, Generation) throws -> Void
    ) throws {
        for (number, answer) in open where answer.reason != nil { try onAnswer(number, answer.generation) }
        open.removeAll { $0.answer.reason != nil }
    }

    /// Forgets all sequences.
    public func reset() { for sequence in sequences { sequence.reset() } }
}

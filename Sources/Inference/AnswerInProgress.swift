import Architecture
import Bytes
import Models
import Tensors
import Tokenization

/// An answer while it is made: takes logits, says what to feed next.
///
///     var answer = try AnswerInProgress(input, sequence, tokenizer, options, stop: stop)
///     try answer.take(answer.firstLogits(of: input, features: features), onText: onText)
///     while answer.reason == nil {
///         try answer.take(model.steps(tokens: answer.feed, state: sequence.state), onText: onText)
///     }
struct AnswerInProgress {
    let sequence: CachedSequence
    /// What the next pass reads: the last token and those proposed to follow it. Empty before the first.
    private(set) var feed: [Int] = []
    /// What the last one has read; the two take turns.
    private var read: [Int] = []
    /// Nil while there is more to come.
    private(set) var reason: FinishReason?

    private let options: GenerationOptions
    private let endTokens: [Int]
    private var sampler: Sampler
    private var text: AnswerText
    private var lookup: PromptLookup?
    private var tokens: [Int] = []
    private var statistics = GenerationStatistics()
    private var start = ContinuousClock.now

    /// - Throws: `CrayonError` for options that make no sense.
    init(
        _ input: ModelInput, _ sequence: CachedSequence, _ tokenizer: any Tokenizer, _ options: GenerationOptions,
        stop: [String]
    ) throws(CrayonError) {
        try options.validate()
        self.sequence = sequence
        self.options = options
        endTokens = sequence.model.configuration.tokens.end
        sampler = try Sampler(options.sampling)
        sampler.observe(input.tokens)
        text = AnswerText(tokenizer, stops: options.stop + stop)
        tokens.reserveCapacity(min(options.maxNewTokens, 4096))
        if options.lookup > 0 {
            let image = sequence.model.configuration.tokens.image
            lookup = PromptLookup(input.tokens.map { $0 == image ? nil : $0 })
        }
    }

    /// Reads the prompt.
    /// - Returns: the logits to begin with. `[1, vocabulary]`
    /// - Throws: as `CachedSequence.prefill`.
    mutating func firstLogits(
        of input: ModelInput, features: FeatureStore, others: [CachedSequence] = []
    ) throws(CrayonError) -> Matrix {
        let logits = try sequence.prefill(
            input, newTokens: options.maxNewTokens + options.lookup, features: features, others: others, &statistics)
        start = .now
        return logits
    }

    /// Chooses tokens from the logits of a pass over `feed`, as long as they are those that were proposed.
    ///
    /// Each token is chosen from the logits behind those before it, as without proposals: what is proposed changes how many
    /// passes there are, not the answer or its distribution.
    /// - Parameters:
    ///   - logits: holds one row for each token of `feed`, or one for the prompt, from row `first` on.
    ///   - onText: called with each piece of text as soon as it is certain; an error that it throws ends the answer.
    /// - Throws: `CrayonError` for logits that are no numbers; what `onText` throws.
    mutating func take(_ logits: Matrix, first: Int = 0, onText: (String) throws -> Void) throws {
        swap(&feed, &read)
        feed.removeAll(keepingCapacity: true)
        if !read.isEmpty { statistics.decodingSteps += 1 }
        // Tokens of the feed that belong to the answer: its first, and proposals as they turn out right.
        var accepted = min(read.count, 1)
        defer { sequence.accept(read.prefix(accepted), of: read.count) }
        var row = first
        while true {
            let token = try sampler.next(UnsafeBufferPointer(logits.row(row)))
            tokens.append(token)
            lookup?.append(token)
            if try ends(token, onText: onText) { return try finish(onText: onText) }
            guard accepted < read.count, read[accepted] == token else {
                feed.append(token)
                break
            }
            accepted += 1
            row += 1
            statistics.acceptedTokens += 1
        }
        propose(past: sequence.state.count - (read.count - accepted))
    }

    private mutating func ends(_ token: Int, onText: (String) throws -> Void) throws -> Bool {
        if endTokens.contains(token) {
            reason = .endToken
            return true
        }
        let piece = text.append(token)
        if !piece.isEmpty { try onText(piece) }
        if text.hasStopped {
            reason = .stopText
        } else if tokens.count == options.maxNewTokens {
            reason = .length
        } else if Task.isCancelled {
            reason = .cancelled
        }
        return reason != nil
    }

    /// Adds to the feed what may follow.
    private mutating func propose(past: Int) {
        guard let lookup else { return }
        // The pass gives one token more than are proposed.
        let proposals = lookup.proposals(min(options.lookup, options.maxNewTokens - tokens.count - 1))
        guard !proposals.isEmpty else { return }
        let count = sequence.model.tokensOfOnePass(1 + proposals.count, past: past)
        feed += proposals.prefix(count - 1)
        statistics.proposedTokens += count - 1
    }

    private mutating func finish(onText: (String) throws -> Void) throws {
        let rest = text.finish()
        if !rest.isEmpty { try onText(rest) }
        statistics.decodingSeconds = (ContinuousClock.now - start).seconds
        statistics.answers = 1
        statistics.newTokens = tokens.count
    }

    /// The answer as it stands.
    var generation: Generation {
        Generation(text: text.whole, tokens: tokens, reason: reason ?? .cancelled, statistics: statistics)
    }
}

import Architecture
public import Bytes
import Layers
public import Tensors

extension VisionLanguageModel {
    /// Reads a prompt behind what the state has seen.
    /// - Returns: logits of the last position, `[1, vocabulary]`, overwritten by the state's next pass.
    /// - Throws: `CrayonError` for an empty prompt, and for a weight that cannot be unpacked.
    public func prefill(_ prompt: EmbeddedPrompt, state: DecoderState) throws(CrayonError) -> Matrix {
        guard prompt.count > 0 else {
            throw CrayonError(.usage, in: "prompt", found: "no tokens", expected: "at least one")
        }
        let logits = state.steps.logits(rows: 1)
        decoder.forward(prompt, rows: [prompt.count - 1], state: state, into: logits.view)
        try supply.failures.check()
        return logits
    }

    /// Reads one more token.
    /// - Returns: as `prefill`.
    /// - Throws: `CrayonError` for a token without an embedding.
    public func step(token: Int, state: DecoderState) throws(CrayonError) -> Matrix {
        try read(CollectionOfOne(token), state: state)
    }

    /// Reads a few more tokens in one pass, with the bits of as many single steps.
    /// - Returns: logits behind each token, `[tokens, vocabulary]`, overwritten by the state's next pass.
    /// - Throws: `CrayonError` for a token without an embedding.
    /// - Precondition: at least one token, no more than `tokensOfOnePass` says.
    public func steps(tokens: [Int], state: DecoderState) throws(CrayonError) -> Matrix {
        try read(tokens, state: state)
    }

    /// Allocates nothing, once a pass over as many tokens has run and where the state has room.
    private func read(
        _ tokens: some RandomAccessCollection<Int>, state: DecoderState
    ) throws(CrayonError) -> Matrix {
        try check(tokens)
        precondition(tokensOfOnePass(tokens.count, past: state.count) == tokens.count)
        let prompt = EmbeddedPrompt(hidden: state.steps.embeddings(rows: tokens.count))
        decoder.embed(tokens, into: prompt.hidden.view)
        let logits = state.steps.logits(rows: tokens.count)
        decoder.forward(prompt, rows: 0..<tokens.count, state: state, into: logits.view)
        try supply.failures.check()
        return logits
    }

    /// How many tokens a pass can read at most with the bits of single steps: more go through matrix products, which sum in
    /// another order, and widen every weight first, which takes as long as many steps.
    public static var passTokens: Int { Linear.directRows }

    /// How many of `count` tokens one pass can read behind `past` positions with the bits of single steps: `passTokens`, but
    /// one past the limit of dynamic rotary scaling, where every length has angles of its own.
    public func tokensOfOnePass(_ count: Int, past: Int) -> Int {
        decoder.tokensOfOnePass(min(count, Self.passTokens), past: past)
    }

    /// Reads the next tokens of several sequences.
    ///
    /// A pass takes as many sequences as have `passTokens` together, which gives the bits of single steps.
    /// - Parameter feeds: the tokens of each sequence, at least one and no more than `tokensOfOnePass` says.
    /// - Returns: logits behind each token in the order of the feeds, `[tokens, vocabulary]`, overwritten by the batch's next
    ///   call.
    /// - Throws: `CrayonError` for a token without an embedding.
    /// - Precondition: no state occurs twice.
    public func steps(
        _ feeds: [(tokens: [Int], state: DecoderState)], batch: DecoderBatch
    ) throws(CrayonError) -> Matrix {
        for feed in feeds {
            try check(feed.tokens)
            precondition(tokensOfOnePass(feed.tokens.count, past: feed.state.count) == feed.tokens.count)
        }
        let logits = batch.steps.logits(rows: feeds.reduce(0) { $0 + $1.tokens.count })
        var rest = feeds[...]
        var row = 0
        while !rest.isEmpty {
            var rows = 0
            let pass = rest.prefix { feed in
                rows += feed.tokens.count
                return rows <= Self.passTokens
            }
            rest = rest.dropFirst(pass.count)
            let count = pass.reduce(0) { $0 + $1.tokens.count }
            decoder.step(pass, batch: batch, into: logits.view.rows(row..<row + count))
            batch.passCount += 1
            row += count
        }
        try supply.failures.check()
        return logits
    }

    private func check(_ tokens: some Collection<Int>) throws(CrayonError) {
        precondition(!tokens.isEmpty)
        for token in tokens { try check(token: token) }
    }

    /// Memory for passes over several sequences.
    public func makeBatch() -> DecoderBatch { DecoderBatch(steps: StepBuffers(configuration.backbone)) }
}

/// Scratch memory and logits of passes over several sequences, one pass at a time.
public final class DecoderBatch {
    let workspace = Workspace()
    let steps: StepBuffers
    /// Passes over the weights so far.
    public internal(set) var passCount = 0
    /// What a pass has in hand, kept so that the next one does not allocate it: sequences that go through the blocks together,
    /// their embedded tokens `[tokens, hidden]`, and their rows of the logits.
    var admitted: [(state: DecoderState, embedded: Matrix, rows: Range<Int>)] = []
    var sequences: [PassSequence] = []

    init(steps: StepBuffers) { self.steps = steps }
}

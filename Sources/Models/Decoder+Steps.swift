import Architecture
import Layers
import Tensors

/// Tokens that a sequence is fed, one or a few.
struct StepFeed {
    let tokens: [Int]
    let state: DecoderState
}

extension Decoder {
    /// How many of `count` tokens one pass can read as that many single steps would: under dynamic scaling, past its limit,
    /// every position has angles of its own length.
    func tokensOfOnePass(_ count: Int, past: Int) -> Int {
        let base = rotary.base(length: past + 1)
        return (1...max(count, 1)).last { rotary.base(length: past + $0) == base } ?? 1
    }

    /// Reads the next tokens of several sequences in one pass: linear layers see all rows together, attention goes sequence
    /// by sequence. A sequence that has to run again as a whole does so by itself.
    /// - Parameter logits: behind every token, in the order of the feeds. `[tokens, vocabulary]`
    func step(_ feeds: [StepFeed], workspace: Workspace, into logits: MatrixView) {
        var together: [(feed: StepFeed, prompt: EmbeddedPrompt, rows: Range<Int>)] = []
        var row = 0
        for feed in feeds {
            let prompt = EmbeddedPrompt(hidden: feed.state.steps.embeddings(rows: feed.tokens.count))
            embed(feed.tokens, into: prompt.hidden.view)
            let past = feed.state.count
            let rows = row..<row + feed.tokens.count
            row = rows.upperBound
            if admit(prompt, to: feed.state) {
                together.append((feed, prompt, rows))
            } else {
                runAgain(rows: feed.tokens.indices.map { $0 + past }, state: feed.state, into: logits.rows(rows))
            }
        }
        let count = together.reduce(0) { $0 + $1.rows.count }
        guard count > 0 else { return }

        let width = configuration.backbone.hiddenSize
        let hidden = workspace.view(.residual, rows: count, columns: width)
        var sequences: [PassSequence] = []
        for (feed, prompt, _) in together {
            let first = sequences.last?.rows.upperBound ?? 0
            let length = feed.state.count + prompt.count
            feed.state.reserve(length)
            sequences.append(
                PassSequence(
                    rows: first..<first + prompt.count, cache: feed.state.cache, rotary: rotary.table(length: length)))
            hidden.rows(first..<first + prompt.count).copy(from: prompt.hidden.view)
        }
        let pass = DecoderPass(images: [], addsCrayon: false, sequences: sequences, workspace: workspace)
        for layer in layers { layer.forward(hidden, pass: pass) }
        for sequence in sequences { sequence.cache.advance(by: sequence.rows.count) }

        let selected = workspace.view(.selected, rows: count, columns: width)
        finalNorm.forward(hidden, into: selected)
        guard together.count < feeds.count else {
            return head.forward(selected, into: logits, workspace: workspace)
        }
        let found = workspace.view(.logits, rows: count, columns: head.outputs)
        head.forward(selected, into: found, workspace: workspace)
        for (sequence, (_, _, rows)) in zip(sequences, together) {
            logits.rows(rows).copy(from: found.rows(sequence.rows))
        }
    }
}

import Architecture
import Layers
import Tensors

extension Decoder {
    /// How many of `count` tokens one pass can read as that many single steps would: under dynamic scaling, past its limit,
    /// every position has angles of its own length.
    func tokensOfOnePass(_ count: Int, past: Int) -> Int {
        let base = rotary.base(length: past + 1)
        return (1...max(count, 1)).last { rotary.base(length: past + $0) == base } ?? 1
    }

    /// Reads the next tokens of several sequences in one pass: linear layers see all rows together, attention goes sequence
    /// by sequence. A sequence that has to run again as a whole does so by itself.
    ///
    /// Allocates nothing, once passes of as many sequences and tokens have run.
    /// - Parameter logits: behind every token, in the order of the feeds. `[tokens, vocabulary]`
    func step(
        _ feeds: ArraySlice<(tokens: [Int], state: DecoderState)>, batch: DecoderBatch, into logits: MatrixView
    ) {
        let workspace = batch.workspace
        batch.admitted.removeAll(keepingCapacity: true)
        var row = 0
        for feed in feeds {
            let prompt = EmbeddedPrompt(hidden: feed.state.steps.embeddings(rows: feed.tokens.count))
            embed(feed.tokens, into: prompt.hidden.view)
            let past = feed.state.count
            let rows = row..<row + feed.tokens.count
            row = rows.upperBound
            if admit(prompt, to: feed.state) {
                batch.admitted.append((feed.state, prompt.hidden, rows))
            } else {
                runAgain(rows: past..<past + feed.tokens.count, state: feed.state, into: logits.rows(rows))
            }
        }
        let count = batch.admitted.reduce(0) { $0 + $1.rows.count }
        guard count > 0 else { return }

        let width = configuration.backbone.hiddenSize
        let hidden = workspace.view(.residual, rows: count, columns: width)
        batch.sequences.removeAll(keepingCapacity: true)
        var longest = 0
        for (state, embedded, _) in batch.admitted {
            let first = batch.sequences.last?.rows.upperBound ?? 0
            let rows = first..<first + embedded.rows
            let length = state.count + embedded.rows
            state.cache.reserve(length)
            longest = max(longest, state.cache.capacity)
            batch.sequences.append(
                PassSequence(rows: rows, cache: state.cache, rotary: rotary.table(length: length)))
            hidden.rows(rows).copy(from: embedded.view)
        }
        workspace.reserveScratch(longest)
        let pass = DecoderPass(images: [], addsCrayon: false, sequences: batch.sequences, workspace: workspace)
        for layer in layers { layer.forward(hidden, pass: pass) }
        for sequence in pass.sequences { sequence.cache.advance(by: sequence.rows.count) }

        let selected = workspace.view(.selected, rows: count, columns: width)
        finalNorm.forward(hidden, into: selected)
        guard batch.admitted.count < feeds.count else {
            return head.forward(selected, into: logits, workspace: workspace)
        }
        let found = workspace.view(.logits, rows: count, columns: head.outputs)
        head.forward(selected, into: found, workspace: workspace)
        for (sequence, (_, _, rows)) in zip(pass.sequences, batch.admitted) {
            logits.rows(rows).copy(from: found.rows(sequence.rows))
        }
    }
}

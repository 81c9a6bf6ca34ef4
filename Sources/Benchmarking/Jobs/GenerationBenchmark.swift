import Architecture
public import Bytes
public import Models
import Tensors

/// Reads prompts and makes tokens as llama-bench does: random tokens, a prompt on its own (`pp512`), and tokens one by one
/// from an empty sequence on (`tg32`).
public final class GenerationBenchmark {
    private let model: VisionLanguageModel
    private let state: DecoderState
    private var noise = SplitMix64(seed: 0)
    /// What the last timed part asked of the system; nil where nobody counts.
    private(set) var counts: ProcessCounts?

    public init(model: VisionLanguageModel) {
        self.model = model
        state = model.makeState()
    }

    /// Seconds for a prompt of `tokens`.
    /// - Throws: `CrayonError` where the model cannot read it.
    public func prompt(_ tokens: Int) throws(CrayonError) -> Double {
        let input = ModelInput(tokens: draw(tokens))
        state.truncate(to: 0)
        return try timed { () throws(CrayonError) in
            _ = try model.prefill(try model.embed(input), state: state)
        }
    }

    /// A run of each kind that does not count, as llama-bench has them, the prompt or one token; and room for what follows.
    public func warmUp(prompt: Int, generate: Int) throws(CrayonError) {
        state.truncate(to: 0)
        state.reserve(max(prompt, generate))
        if prompt > 0 { _ = try self.prompt(prompt) }
        if generate > 0 { _ = try self.generate(1) }
    }

    /// Seconds for `tokens` steps.
    public func generate(_ tokens: Int) throws(CrayonError) -> Double {
        let drawn = draw(tokens)
        state.truncate(to: 0)
        state.reserve(tokens)
        return try timed { () throws(CrayonError) in
            for token in drawn { _ = try model.step(token: token, state: state) }
        }
    }

    private func timed(_ body: () throws(CrayonError) -> Void) throws(CrayonError) -> Double {
        let before = ProcessCounts.present
        let seconds = try Stopwatch.seconds(body)
        if let before, let after = ProcessCounts.present { counts = after - before }
        return seconds
    }

    /// Tokens of the vocabulary, none of which stands for a picture.
    private func draw(_ count: Int) -> [Int] {
        let image = model.configuration.tokens.image
        return (0..<count).map { _ in
            let token = noise.index(below: model.configuration.backbone.vocabularySize)
            return token == image ? (token == 0 ? 1 : token - 1) : token
        }
    }
}

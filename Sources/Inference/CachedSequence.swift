import Architecture
import Bytes
import Models
import Tensors

/// One sequence in the model's cache, and what stands there.
///
/// A prompt that begins as the sequence does (the next turn of a conversation, another question about the picture) reuses the
/// cache as far as the two agree.
final class CachedSequence {
    let model: VisionLanguageModel
    let state: DecoderState
    /// What the cache holds, but for what a pass has read and `accept` has not been told of.
    private var seen: [Unit] = []

    /// What stands at one place of a prompt.
    private enum Unit: Equatable {
        case token(Int)
        case image(ImageInput)
    }

    init(_ model: VisionLanguageModel) {
        self.model = model
        state = model.makeState()
    }

    /// Forgets the sequence.
    func reset() {
        state.truncate(to: 0)
        seen = []
    }

    /// Tokens that `input` and the sequence have in common from the start, a picture counting as one.
    func agreement(with input: ModelInput) -> Int { agreement(units(of: input)) }

    private func agreement(_ units: [Unit]) -> Int {
        // The last position always runs: its logits are what is wanted.
        min(zip(seen, units).prefix { $0 == $1 }.count, max(units.count - 1, 0))
    }

    /// Reads a prompt.
    ///
    /// - Parameters:
    ///   - newTokens: to make room for.
    ///   - features: where features of pictures are kept and found again.
    ///   - others: sequences of the same model, of which the one that agrees more than this one lends what it has read.
    /// - Returns: logits of the last position. `[1, vocabulary]`
    /// - Throws: `CrayonError` for an input that does not fit the model; the sequence is as it was then.
    func prefill(
        _ input: ModelInput, newTokens: Int, features: FeatureStore, others: [CachedSequence] = [],
        _ statistics: inout GenerationStatistics
    ) throws(CrayonError) -> Matrix {
        let units = units(of: input)
        var (lender, same) = (self, agreement(units))
        for other in others where other !== self && other.agreement(units) > same {
            (lender, same) = (other, other.agreement(units))
        }
        let reused = positions(units[..<same])
        statistics.promptPositions = positions(units[...])
        statistics.reusedPositions = reused

        let clock = ContinuousClock()
        var mark = clock.now
        let imagesBefore = units[..<same].count { if case .image = $0 { true } else { false } }
        let rest = ModelInput(
            tokens: Array(input.tokens[same...]), images: Array(input.images.dropFirst(imagesBefore)))
        let towerRuns = features.computedCount
        // Checked and embedded before the cache changes, so that an error leaves the sequence as it was.
        let prompt = try model.embed(rest, features: features)
        statistics.towerRuns = features.computedCount - towerRuns
        statistics.embeddingSeconds = (clock.now - mark).seconds
        mark = clock.now
        if lender === self {
            state.truncate(to: reused)
        } else {
            state.copyPrefix(of: lender.state, positions: reused)
        }
        seen = Array(units[..<same])
        state.reserve(reused + prompt.count + min(newTokens, 4096))
        let logits = try model.prefill(prompt, state: state)
        seen = units
        // So that decoding does not move what is there.
        seen.reserveCapacity(units.count + min(newTokens, 4096))
        statistics.prefillSeconds = (clock.now - mark).seconds
        return logits
    }

    /// Keeps the first tokens that the last pass has read, and forgets what it has read behind them.
    func accept(_ tokens: some Collection<Int>, of read: Int) {
        for token in tokens { seen.append(.token(token)) }
        state.truncate(to: state.count - (read - tokens.count))
    }

    private func units(of input: ModelInput) -> [Unit] {
        var images = input.images.makeIterator()
        return input.tokens.map { token in
            if token == model.configuration.tokens.image, let image = images.next() { return .image(image) }
            return .token(token)
        }
    }

    private func positions(_ units: ArraySlice<Unit>) -> Int {
        let patches = model.configuration.vision?.patchCount ?? 0
        return units.reduce(0) { sum, unit in
            if case .image = unit { sum + patches } else { sum + 1 }
        }
    }
}

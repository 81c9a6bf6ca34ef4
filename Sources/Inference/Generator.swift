import Architecture
import Bytes
public import Models
import Tensors
public import Tokenization

/// Continues one sequence, and keeps what the model has seen of it.
///
/// A prompt that begins as the sequence does (the next turn of a conversation) reuses the cache as far as the two agree.
/// For one sequence and one thread at a time.
public final class Generator {
    public let model: VisionLanguageModel
    public let tokenizer: any Tokenizer
    private let state: DecoderState
    private let features = FeatureStore()
    /// What the cache holds.
    private var seen: [Unit] = []

    /// What stands at one place of a prompt.
    private enum Unit: Equatable {
        case token(Int)
        case image(ImageInput)
    }

    public init(model: VisionLanguageModel, tokenizer: any Tokenizer) {
        self.model = model
        self.tokenizer = tokenizer
        state = model.makeState()
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
        guard options.maxNewTokens > 0 else {
            throw CrayonError(.usage, in: "max new tokens", found: "\(options.maxNewTokens)", expected: "1 or more")
        }
        var statistics = GenerationStatistics()
        var sampler = try Sampler(options.sampling)
        sampler.observe(input.tokens)
        var text = AnswerText(tokenizer, stops: options.stop + stop)
        var logits = try prefill(input, newTokens: options.maxNewTokens, &statistics)
        var tokens: [Int] = []
        var reason = FinishReason.length
        let clock = ContinuousClock()
        let start = clock.now
        while true {
            let token = try sampler.next(logits)
            tokens.append(token)
            if model.configuration.tokens.end.contains(token) {
                reason = .endToken
                break
            }
            let piece = text.append(token)
            if !piece.isEmpty { try onText(piece) }
            if text.hasStopped {
                reason = .stopText
                break
            }
            if tokens.count == options.maxNewTokens { break }
            if Task.isCancelled {
                reason = .cancelled
                break
            }
            logits = try step(token)
            statistics.decodingSteps += 1
        }
        let rest = text.finish()
        if !rest.isEmpty { try onText(rest) }
        statistics.decodingSeconds = (clock.now - start).seconds
        statistics.newTokens = tokens.count
        return Generation(text: text.whole, tokens: tokens, reason: reason, statistics: statistics)
    }

    /// Forgets the sequence.
    public func reset() {
        state.truncate(to: 0)
        seen = []
    }

    /// Positions in the cache.
    public var cachedPositions: Int { state.count }

    private func prefill(
        _ input: ModelInput, newTokens: Int, _ statistics: inout GenerationStatistics
    ) throws(CrayonError) -> UnsafeBufferPointer<Float> {
        var units: [Unit] = []
        var images = input.images.makeIterator()
        for token in input.tokens {
            if token == model.configuration.tokens.image, let image = images.next() {
                units.append(.image(image))
            } else {
                units.append(.token(token))
            }
        }
        // The last position always runs: its logits are what is wanted.
        let same = min(zip(seen, units).prefix { $0 == $1 }.count, max(units.count - 1, 0))
        let reused = positions(units[..<same])
        statistics.promptPositions = positions(units[...])
        statistics.reusedPositions = reused

        let clock = ContinuousClock()
        var mark = clock.now
        let imagesBefore = units[..<same].count { if case .image = $0 { true } else { false } }
        let rest = ModelInput(
            tokens: Array(input.tokens[same...]), images: Array(input.images.dropFirst(imagesBefore)))
        // Checked and embedded before the cache changes, so that an error leaves the sequence as it was.
        let prompt = try model.embed(rest, features: features)
        statistics.embeddingSeconds = (clock.now - mark).seconds
        mark = clock.now
        state.truncate(to: reused)
        seen.removeSubrange(same...)
        state.reserve(reused + prompt.count + min(newTokens, 4096))
        let logits = try model.prefill(prompt, state: state)
        seen += units[same...]
        statistics.prefillSeconds = (clock.now - mark).seconds
        return UnsafeBufferPointer(logits.row(0))
    }

    private func step(_ token: Int) throws(CrayonError) -> UnsafeBufferPointer<Float> {
        let logits = try model.step(token: token, state: state)
        seen.append(.token(token))
        return UnsafeBufferPointer(logits.row(0))
    }

    private func positions(_ units: ArraySlice<Unit>) -> Int {
        let patches = model.configuration.vision?.patchCount ?? 0
        return units.reduce(0) { sum, unit in
            if case .image = unit { sum + patches } else { sum + 1 }
        }
    }
}

/// The text of an answer while it is made: no space before it, nothing of a stop text.
private struct AnswerText {
    private var decoder: StreamingDecoder
    private var matcher: StopMatcher
    private(set) var whole = ""

    init(_ tokenizer: any Tokenizer, stops: [String]) {
        decoder = StreamingDecoder(tokenizer, continuing: true)
        matcher = StopMatcher(stops)
    }

    var hasStopped: Bool { matcher.hasStopped }

    mutating func append(_ token: Int) -> String {
        guard let id = Int32(exactly: token) else { return "" }
        return emit(matcher.append(decoder.append(id)))
    }

    mutating func finish() -> String { emit(matcher.append(decoder.finish()) + matcher.finish()) }

    private mutating func emit(_ text: String) -> String {
        let text = whole.isEmpty ? String(text.drop(while: \.isWhitespace)) : text
        whole += text
        return text
    }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

public import Bytes
import Foundation
import Tensors

/// How the next token is chosen from the logits, by the definitions of Hugging Face transformers.
public struct SamplingOptions: Sendable, Equatable {
    /// Divides the logits; 0 takes the best token always.
    public var temperature: Float
    /// Keeps this many of the best tokens, and those that tie with the last of them; nil for all.
    public var topK: Int?
    /// Keeps the fewest of the best tokens whose probabilities add up to this; nil for all.
    public var topP: Float?
    /// Divides the positive and multiplies the negative logits of tokens that have occurred, in the prompt or the answer
    /// (Keskar et al. 2019); 1 changes nothing.
    public var repetitionPenalty: Float
    public var seed: UInt64

    public init(
        temperature: Float = 0, topK: Int? = nil, topP: Float? = nil, repetitionPenalty: Float = 1, seed: UInt64 = 0
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.repetitionPenalty = repetitionPenalty
        self.seed = seed
    }

    /// The best token always.
    public static let greedy = SamplingOptions()

    /// - Throws: `CrayonError` naming the option that makes no sense.
    public func validate() throws(CrayonError) {
        func require(_ holds: Bool, _ option: String, _ found: String, _ expected: String) throws(CrayonError) {
            if !holds { throw CrayonError(.usage, in: option, found: found, expected: expected) }
        }
        try require(temperature.isFinite && temperature >= 0, "temperature", "\(temperature)", "0 or more")
        if let topK { try require(topK > 0, "top-k", "\(topK)", "1 or more") }
        if let topP { try require(topP > 0 && topP <= 1, "top-p", "\(topP)", "more than 0, at most 1") }
        try require(
            repetitionPenalty.isFinite && repetitionPenalty > 0, "repetition penalty", "\(repetitionPenalty)",
            "more than 0")
    }
}

/// Chooses tokens, the same ones for the same seed and logits: one number of `SplitMix64` for each token,
/// held against the running sum of the probabilities from the likeliest on.
public struct Sampler: Sendable {
    public let options: SamplingOptions
    private var random: SplitMix64
    private var scores: [Float] = []
    private var seen: Set<Int> = []

    /// - Throws: `CrayonError` for options that make no sense.
    public init(_ options: SamplingOptions) throws(CrayonError) {
        try options.validate()
        self.options = options
        random = SplitMix64(seed: options.seed)
    }

    /// Counts tokens as having occurred, for the repetition penalty.
    public mutating func observe(_ tokens: some Sequence<Int>) {
        if options.repetitionPenalty != 1 { seen.formUnion(tokens) }
    }

    /// The next token; counted as having occurred.
    /// - Throws: `CrayonError` for logits that hold a NaN or no number above minus infinity.
    public mutating func next(_ logits: UnsafeBufferPointer<Float>) throws(CrayonError) -> Int {
        scores.removeAll(keepingCapacity: true)
        scores.append(contentsOf: logits)
        penalize()
        let best = try Sampler.best(scores)
        let token = options.temperature == 0 ? best : draw(fallback: best)
        observe(CollectionOfOne(token))
        return token
    }

    /// What `next` draws from: tokens with their probabilities, likeliest first.
    public mutating func distribution(
        _ logits: UnsafeBufferPointer<Float>
    ) throws(CrayonError) -> [(token: Int, probability: Double)] {
        scores.removeAll(keepingCapacity: true)
        scores.append(contentsOf: logits)
        penalize()
        let best = try Sampler.best(scores)
        return options.temperature == 0 ? [(best, 1)] : candidates()
    }

    private mutating func penalize() {
        guard options.repetitionPenalty != 1 else { return }
        for token in seen where token < scores.count {
            scores[token] =
                scores[token] < 0
                ? scores[token] * options.repetitionPenalty : scores[token] / options.repetitionPenalty
        }
    }

    /// The first of the largest.
    private static func best(_ scores: [Float]) throws(CrayonError) -> Int {
        var best = -1
        var largest = -Float.infinity
        for (token, score) in scores.enumerated() {
            guard !score.isNaN else {
                throw CrayonError(
                    .notFinite, in: "logits", item: "token \(token)", found: "NaN", expected: "a number",
                    advice: "Check the model with `crayon verify`.")
            }
            if score > largest {
                largest = score
                best = token
            }
        }
        guard best >= 0, largest.isFinite else {
            throw CrayonError(.notFinite, in: "logits", found: "no finite logit", expected: "at least one")
        }
        return best
    }

    private mutating func draw(fallback: Int) -> Int {
        let candidates = candidates()
        var left = random.uniform()
        for (token, probability) in candidates {
            left -= probability
            if left < 0 { return token }
        }
        // Rounding has left a crumb over.
        return candidates.last?.token ?? fallback
    }

    private func candidates() -> [(token: Int, probability: Double)] {
        var order = Array(scores.indices)
        if let topK = options.topK, topK < order.count {
            let threshold = scores.sorted(by: >)[topK - 1]
            order.removeAll { scores[$0] < threshold }
        }
        order.sort { scores[$0] != scores[$1] ? scores[$0] > scores[$1] : $0 < $1 }
        guard let first = order.first else { return [] }
        let temperature = Double(options.temperature)
        let largest = Double(scores[first])
        var weights = order.map { exp((Double(scores[$0]) - largest) / temperature) }
        var total = weights.reduce(0, +)
        if let topP = options.topP, topP < 1 {
            var before = 0.0
            // transformers drops a token when those above it already reach p.
            let kept = weights.prefix { weight in
                defer { before += weight / total }
                return before < Double(topP)
            }
            weights = Array(kept)
            total = weights.reduce(0, +)
        }
        return zip(order, weights).map { ($0, $1 / total) }
    }
}

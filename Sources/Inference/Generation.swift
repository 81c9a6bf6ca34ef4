public import Bytes
import Models

/// How an answer is made.
public struct GenerationOptions: Sendable, Equatable {
    public var sampling: SamplingOptions
    /// Tokens of an answer at most.
    public var maxNewTokens: Int
    /// Texts that end an answer, beside the template's.
    public var stop: [String]
    /// Tokens that are looked up in the prompt and the answer so far and checked in one pass, at most (prompt look-up
    /// decoding, Saxena 2023); 0 for one token a pass.
    ///
    /// Tokens are chosen from the same logits as without, to the bit, and the same seed draws the same numbers: answers do
    /// not change. A pass over several tokens takes longer than one over one; it pays where many are accepted.
    public var lookup: Int

    public init(
        sampling: SamplingOptions = .greedy, maxNewTokens: Int = 512, stop: [String] = [], lookup: Int = 0
    ) {
        self.sampling = sampling
        self.maxNewTokens = maxNewTokens
        self.stop = stop
        self.lookup = lookup
    }

    /// - Throws: `CrayonError` naming the option that makes no sense.
    public func validate() throws(CrayonError) {
        try sampling.validate()
        if maxNewTokens < 1 {
            throw CrayonError(.usage, in: "max new tokens", found: "\(maxNewTokens)", expected: "1 or more")
        }
        if lookup < 0 || lookup > GenerationOptions.longestLookup {
            throw CrayonError(
                .usage, in: "look-up", found: "\(lookup) tokens", expected: "0 ... \(GenerationOptions.longestLookup)")
        }
    }

    /// What a pass can check beside the token before them.
    public static var longestLookup: Int { VisionLanguageModel.passTokens - 1 }
}

/// Why an answer ended.
public enum FinishReason: String, Sendable {
    /// The model gave a token that ends an answer.
    case endToken = "end-token"
    /// A stop text came.
    case stopText = "stop-text"
    /// `maxNewTokens` were made.
    case length
    /// The task was cancelled.
    case cancelled
}

/// An answer.
public struct Generation: Sendable {
    /// Without the stop text.
    public let text: String
    /// As the model gave them, a token that ended the answer included.
    public let tokens: [Int]
    public let reason: FinishReason
    public let statistics: GenerationStatistics
}

/// Where the time went.
public struct GenerationStatistics: Sendable, Equatable {
    public init() {}

    /// Answers that were counted.
    public var answers = 0
    /// Positions of the prompt, those of pictures included.
    public var promptPositions = 0
    /// Those of them that were still in the cache.
    public var reusedPositions = 0
    /// Pictures that went through the vision tower; others were seen before.
    public var towerRuns = 0
    /// Vision tower, projectors and look-ups.
    public var embeddingSeconds = 0.0
    /// The backbone over the prompt's new positions.
    public var prefillSeconds = 0.0
    public var newTokens = 0
    /// Passes that followed the prefill: one less than the new tokens, or fewer where looked-up tokens were right.
    public var decodingSteps = 0
    /// Tokens that were looked up and checked, and those of them that the model would have given.
    public var proposedTokens = 0
    public var acceptedTokens = 0
    public var decodingSeconds = 0.0

    public var prefillPositionsPerSecond: Double {
        prefillSeconds > 0 ? Double(promptPositions - reusedPositions) / prefillSeconds : 0
    }
    /// Tokens behind the first of each answer, which comes from the prefill.
    public var decodedTokens: Int { newTokens - answers }
    public var decodingTokensPerSecond: Double {
        decodingSeconds > 0 ? Double(decodedTokens) / decodingSeconds : 0
    }

    /// Counts and times of several answers in one.
    public static func += (sum: inout GenerationStatistics, other: GenerationStatistics) {
        sum.answers += other.answers
        sum.promptPositions += other.promptPositions
        sum.reusedPositions += other.reusedPositions
        sum.towerRuns += other.towerRuns
        sum.embeddingSeconds += other.embeddingSeconds
        sum.prefillSeconds += other.prefillSeconds
        sum.newTokens += other.newTokens
        sum.decodingSteps += other.decodingSteps
        sum.proposedTokens += other.proposedTokens
        sum.acceptedTokens += other.acceptedTokens
        sum.decodingSeconds += other.decodingSeconds
    }
}

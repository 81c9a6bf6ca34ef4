/// How an answer is made.
public struct GenerationOptions: Sendable, Equatable {
    public var sampling: SamplingOptions
    /// Tokens of an answer at most.
    public var maxNewTokens: Int
    /// Texts that end an answer, beside the template's.
    public var stop: [String]

    public init(sampling: SamplingOptions = .greedy, maxNewTokens: Int = 512, stop: [String] = []) {
        self.sampling = sampling
        self.maxNewTokens = maxNewTokens
        self.stop = stop
    }
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
    /// Positions of the prompt, those of pictures included.
    public var promptPositions = 0
    /// Those of them that were still in the cache.
    public var reusedPositions = 0
    /// Vision tower, projectors and look-ups.
    public var embeddingSeconds = 0.0
    /// The backbone over the prompt's new positions.
    public var prefillSeconds = 0.0
    public var newTokens = 0
    /// Steps that followed the prefill: one less than the new tokens at most.
    public var decodingSteps = 0
    public var decodingSeconds = 0.0

    public var prefillPositionsPerSecond: Double {
        prefillSeconds > 0 ? Double(promptPositions - reusedPositions) / prefillSeconds : 0
    }
    public var decodingTokensPerSecond: Double { decodingSeconds > 0 ? Double(decodingSteps) / decodingSeconds : 0 }
}

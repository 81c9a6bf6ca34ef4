/// One sequence to learn from.
public struct TrainingSequence: Sendable, Equatable {
    public var input: ModelInput
    /// For each of the input's tokens: its id where the model shall learn to say it, else `ignored`. A picture's
    /// placeholder is never said.
    public var labels: [Int]

    /// What PyTorch's cross-entropy leaves out.
    public static let ignored = -100

    /// - Precondition: one label for each token.
    public init(input: ModelInput, labels: [Int]) {
        precondition(labels.count == input.tokens.count)
        self.input = input
        self.labels = labels
    }

    /// Tokens that count in the loss: each is predicted from what stands before it, so the first never is.
    public var targetCount: Int { labels.dropFirst().count { $0 != TrainingSequence.ignored } }
}

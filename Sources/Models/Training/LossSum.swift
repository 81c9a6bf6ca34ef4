/// What a batch has cost.
public struct LossSum: Sendable, Equatable {
    /// The sum of the cross-entropies of the target tokens, in nats.
    public var loss: Double
    /// Target tokens: as many terms has the sum.
    public var targets: Int
    /// Positions that went through the backbone, those of pictures among them.
    public var positions: Int

    public init(loss: Double = 0, targets: Int = 0, positions: Int = 0) {
        self.loss = loss
        self.targets = targets
        self.positions = positions
    }

    /// The mean over the target tokens; nil where there are none.
    public var mean: Double? { targets > 0 ? loss / Double(targets) : nil }

    public static func += (total: inout LossSum, part: LossSum) {
        total.loss += part.loss
        total.targets += part.targets
        total.positions += part.positions
    }
}

public import Bytes
public import Models

/// What a batch gave.
public struct LossSum: Sendable, Equatable {
    /// The sum of the cross-entropies of the target tokens, in nats.
    public var loss: Double
    /// Target tokens: as many terms has the sum.
    public var targets: Int
    /// Positions that went through the model, those of pictures among them.
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

/// Something that learns: it holds tensors, and gives the gradient of the loss with respect to them.
public protocol GradientSource {
    var learned: LearnedTensors { get }

    /// Adds the gradient of the *sum* of the batch's cross-entropies to `learned`'s gradients: whoever calls divides by the
    /// targets of the whole update, so that its split into batches does not matter.
    ///
    /// - Parameters:
    ///   - update: counted from 0. What is drawn (dropout) is drawn from the seed, this and the next, and so is the same
    ///     when a run goes on after an interruption.
    ///   - microBatch: which part of the update this is, over all ranks.
    func accumulate(_ batch: [TrainingSequence], update: Int, microBatch: Int) throws(CrayonError) -> LossSum
}

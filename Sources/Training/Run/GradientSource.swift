public import Bytes
public import Models

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

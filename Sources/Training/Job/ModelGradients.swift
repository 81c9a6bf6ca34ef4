public import Bytes
public import Models
import Tensors

/// A model as what gives gradients, the way that a plan says.
public struct ModelGradients: GradientSource {
    public let model: TrainableModel
    private let plan: TrainingPlan

    public init(_ model: TrainableModel, plan: TrainingPlan) {
        self.model = model
        self.plan = plan
    }

    public var learned: LearnedTensors { model.learned }

    /// Dropout is drawn from the plan's seed, the update and the batch alone.
    public func accumulate(
        _ batch: [TrainingSequence], update: Int, microBatch: Int
    ) throws(CrayonError) -> LossSum {
        var generator = SplitMix64(seed: plan.seed, name: "dropout \(update) \(microBatch)")
        let options = TrainableModel.PassOptions(
            checkpointing: plan.recomputedBlocks > 0 ? .every(plan.recomputedBlocks) : .off, dropout: plan.dropout,
            key: generator.next())
        return try model.accumulate(batch, options: options)
    }

    /// The mean cross-entropy over sequences that are not learned from, without dropout, a batch at a time; nil where no
    /// token counts.
    public func evaluate(_ sequences: [TrainingSequence], batchSize: Int) throws(CrayonError) -> Double? {
        var sum = LossSum()
        for start in stride(from: 0, to: sequences.count, by: max(batchSize, 1)) {
            let batch = Array(sequences[start..<min(start + max(batchSize, 1), sequences.count)])
            sum += try model.loss(batch)
        }
        return sum.mean
    }
}

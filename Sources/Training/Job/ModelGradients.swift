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
}

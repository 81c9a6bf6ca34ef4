import Bytes
import Models
import Tensors

/// A model that learns, as a plan has it: what is recomputed, and what dropout draws from.
final class PlannedGradients: GradientSource {
    private let model: TrainableModel
    private let plan: TrainingPlan

    init(_ model: TrainableModel, plan: TrainingPlan) {
        self.model = model
        self.plan = plan
    }

    var learned: LearnedTensors { model.learned }

    func accumulate(_ batch: [TrainingSequence], update: Int, microBatch: Int) throws(CrayonError) -> LossSum {
        var draws = SplitMix64(seed: plan.seed, name: "update \(update) batch \(microBatch)")
        return try model.accumulate(
            batch,
            options: .init(
                checkpointing: plan.recomputedBlocks == 0 ? .off : .every(plan.recomputedBlocks),
                dropout: plan.dropout, key: draws.next()))
    }
}

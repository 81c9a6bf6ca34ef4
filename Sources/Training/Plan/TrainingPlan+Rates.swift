import Architecture
import Models
import Tensors

extension TrainingPlan {
    /// Peak, floor and decay of each tensor: those of the part that it belongs to, the most specific where there are
    /// two (`projectors.image` before `projectors`, `adapters:NAME` before `adapters`).
    func rates(of learned: LearnedTensors) -> [TensorRates] {
        learned.tensors.map { tensor in
            let own = learns.filter { $0.covers(tensor.role) }.max { $0.part.count < $1.part.count }
            let peak = own?.rate ?? rate
            let isVector = tensor.shape.rank < 2
            return TensorRates(
                peak: peak, floor: own?.finalRate ?? min(finalRate, peak),
                decay: isVector && !decaysVectors ? 0 : own?.weightDecay ?? weightDecay)
        }
    }
}

struct TensorRates: Equatable {
    var peak: Double
    var floor: Double
    var decay: Double
}

extension TrainingPlan.Learning {
    func covers(_ role: Role) -> Bool { (try? LearnablePart(part))?.contains(role) ?? false }
}

public import Architecture
import Kernels
public import Models
import Tensors

/// The norm of all gradients taken as one vector.
public enum GradientNorm {
    private static let run = 1 << 16

    /// In double, added up in an order that neither threads nor the instruction set change. NaN or infinity when a gradient
    /// holds one.
    public static func of(_ learned: LearnedTensors) -> Double {
        var sum = 0.0
        for tensor in learned.tensors {
            let parts = Parallel.mapRanges(of: tensor.gradient.count, size: run) { range in
                AdamWKernel.squareSum(tensor.gradient.pointer + range.lowerBound, count: range.count)
            }
            sum = parts.reduce(sum, +)
        }
        return sum.squareRoot()
    }

    /// The first tensor whose gradient is not finite.
    public static func firstNotFinite(in learned: LearnedTensors) -> Role? {
        learned.tensors.first { tensor in
            FiniteScan.firstBad(tensor.gradient.pointer, type: .f32, count: tensor.gradient.count) != nil
        }?.role
    }

    /// What to multiply gradients by so that their norm is at most `limit`: `torch.nn.utils.clip_grad_norm_`'s coefficient,
    /// 1 or less.
    public static func clipping(_ norm: Double, to limit: Double) -> Double { min(limit / (norm + 1e-6), 1) }
}

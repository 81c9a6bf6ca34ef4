import Foundation
import Kernels
public import Models
import Tensors

/// AdamW over tensors that learn: decoupled weight decay, bias correction, a learning rate for each tensor.
///
/// Results are the same bits for any number of threads and any instruction set. They are PyTorch's or bitsandbytes' on a
/// CPU, except that square roots are correctly rounded, which MKL's are not always.
public final class AdamW {
    public let settings: AdamWSettings
    public let learned: LearnedTensors
    /// Updates made so far.
    public internal(set) var updates = 0
    /// For each tensor.
    let moments: [Moments]

    /// What one task of an update goes through: a multiple of the block size.
    private static let run = 1 << 16

    public init(_ learned: LearnedTensors, settings: AdamWSettings = AdamWSettings()) {
        self.settings = settings
        self.learned = learned
        moments = learned.tensors.map { Moments(count: $0.value.count, states: settings.states) }
    }

    /// One update of every tensor from its gradient.
    /// - Parameters:
    ///   - gradientScale: what every gradient is multiplied by first, rounded to float32.
    ///   - rates: for each tensor, its learning rate.
    ///   - decays: for each tensor, its weight decay.
    /// - Precondition: all gradients are finite, as many rates and decays as tensors.
    public func update(gradientScale: Double = 1, rates: [Double], decays: [Double]) {
        precondition(rates.count == moments.count && decays.count == moments.count)
        updates += 1
        let correction1 = 1 - pow(settings.beta1, Double(updates))
        let correction2 = 1 - pow(settings.beta2, Double(updates))
        let kernels = zip(moments, zip(rates, decays)).map { moment, values in
            AdamWKernel(
                form: moment.form(settings.states), gradientScale: gradientScale, decay: 1 - values.0 * values.1,
                beta1: settings.beta1, beta2: settings.beta2, root: correction2.squareRoot(),
                epsilon: settings.epsilon, step: -(values.0 / correction1))
        }
        let runs = learned.tensors.enumerated().flatMap { index, tensor in
            stride(from: 0, to: tensor.value.count, by: Self.run).map { (tensor: index, start: $0) }
        }
        Parallel.forEach(count: runs.count) { task in
            let (index, start) = runs[task]
            let tensor = learned.tensors[index]
            let count = min(Self.run, tensor.value.count - start)
            let p = tensor.value.pointer + start
            let gradient = UnsafePointer(tensor.gradient.pointer + start)
            switch moments[index] {
            case .float32(let m, let v):
                kernels[index].update(p, gradient: gradient, m: m.pointer + start, v: v.pointer + start, count: count)
            case .blockwise8(let m, let v):
                kernels[index].update(
                    p, gradient: gradient, m: m.pointers.advanced(by: start), v: v.pointers.advanced(by: start),
                    count: count, rule: settings.rule)
            }
        }
    }

    /// Bytes of the states.
    public var byteCount: Int { moments.reduce(0) { $0 + $1.byteCount } }
}

import Foundation

/// How the learning rate goes over a run: up from 0 during the warm-up, then along a curve from its peak to its floor.
///
/// Rates are those of PyTorch and transformers: `CosineAnnealingLR` in closed form for a cosine without a warm-up,
/// `get_cosine_with_min_lr_schedule_with_warmup`, `get_linear_schedule_with_warmup` and `get_constant_schedule_with_warmup`
/// else. As there, the update with index 0 of a warm-up has a rate of 0, and the floor is reached by the update that
/// would follow the last.
public struct Schedule: Sendable, Equatable {
    public enum Curve: String, Codable, CaseIterable, Sendable {
        case constant
        case cosine
        case linear
    }

    public var curve: Curve
    /// Updates of the warm-up.
    public var warmup: Int
    /// Updates of the run, the warm-up among them.
    public var updates: Int

    /// - Precondition: neither is negative.
    public init(_ curve: Curve, warmup: Int = 0, updates: Int) {
        precondition(warmup >= 0 && updates >= 0)
        self.curve = curve
        self.warmup = warmup
        self.updates = updates
    }

    /// - Parameter update: counted from 0; after the last one the floor is kept.
    public func rate(at update: Int, peak: Double, floor: Double) -> Double {
        if update < warmup { return peak * (Double(update) / Double(max(1, warmup))) }
        let progress = min(Double(update - warmup) / Double(max(1, updates - warmup)), 1)
        return switch curve {
        case .constant: peak
        case .cosine: floor + (peak - floor) * (1 + cos(Double.pi * progress)) / 2
        case .linear: floor + (peak - floor) * (1 - progress)
        }
    }
}

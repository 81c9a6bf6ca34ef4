import Architecture
import Layers
import Tensors

/// Dropout in front of the low-rank pairs that learn, for one pass: a pair's backward pass, or a block that is computed
/// again, drops what its forward pass dropped.
struct LearningDropout {
    let rate: Double
    /// Names the pass: drawn from seed, update and micro-batch.
    let key: UInt64
    let learned: LearnedTensors

    /// - Parameter run: which of the image runs the pair reads.
    /// - Returns: nil for a pair that is frozen: it acts whole.
    func at(_ adapted: AdaptedPair, run: Int = 0) -> Dropout? {
        guard learned[adapted.a] != nil || learned[adapted.b] != nil else { return nil }
        var generator = SplitMix64(seed: key &+ UInt64(run), name: adapted.a.rawValue)
        return Dropout(rate: rate, key: generator.next())
    }
}

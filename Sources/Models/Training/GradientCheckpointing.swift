/// Which blocks' activations are kept for the backward pass, and which are computed again (Chen et al. 2016).
public enum GradientCheckpointing: Sendable, Equatable {
    /// All are kept: the fastest, and the most memory.
    case off
    /// Blocks are taken in runs of that many: a run's input is kept, and its blocks run again when it is its turn.
    /// - Precondition: at least 1.
    case every(Int)

    /// Blocks of a run, of a backbone of `layers`.
    func runLength(layers: Int) -> Int {
        switch self {
        case .off: max(layers, 1)
        case .every(let count): max(1, min(count, layers))
        }
    }
}

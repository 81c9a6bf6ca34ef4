import Synchronization

/// How often a linear layer has taken its weight from memory, from the first row to the last.
///
/// A weight is far larger than a cache, and reading it is most of what a decoding step does: this is the number that must not
/// grow. Rows of `x` that meet a part of the weight while it lies in a cache count once. The count costs one addition a pass.
public final class WeightReads: Sendable {
    private let passes = Atomic<Int>(0)

    /// Passes since the layer was made.
    public var count: Int { passes.load(ordering: .relaxed) }

    func add(_ passes: Int) { self.passes.wrappingAdd(passes, ordering: .relaxed) }
}

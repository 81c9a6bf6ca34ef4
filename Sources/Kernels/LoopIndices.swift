import Foundation
import Synchronization

/// Hands out the indices of a loop, each once, in ascending order.
final class LoopIndices: @unchecked Sendable {
    // @unchecked: `end` is written before a loop begins, by the thread that begins it.
    private let next = Atomic<Int>(0)
    private var end = 0
    private let failures = NSLock()

    /// - Precondition: no loop goes on.
    func begin(_ range: Range<Int>) {
        end = range.upperBound
        next.store(range.lowerBound, ordering: .relaxed)
    }

    /// Nil when none is left.
    func take() -> Int? {
        let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
        return index < end ? index : nil
    }

    /// No further index is handed out.
    /// - Parameter record: says why, one thread at a time.
    func stop(_ record: () -> Void) {
        next.store(end, ordering: .relaxed)
        failures.lock()
        record()
        failures.unlock()
    }
}

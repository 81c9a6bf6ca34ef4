import Foundation
import Synchronization

/// Where one thread waits for what others do: it watches for a while, then sleeps.
///
/// Whoever makes the condition true does so with a sequentially consistent store and calls `wake` afterwards: either it sees the
/// sleeper, or the sleeper sees the store.
final class Sleeper: Sendable {
    private let isAsleep = Atomic<Bool>(false)
    private let condition = NSCondition()

    /// Returns once `holds`, which loads in sequentially consistent order.
    /// - Parameter spin: nanoseconds to watch for.
    func wait(spin: UInt64, until holds: () -> Bool) {
        if holds() { return }
        if spin > 0 {
            // Asking for the time takes some 20 ns, which is pause enough.
            let end = nanoseconds() + spin
            repeat { if holds() { return } } while nanoseconds() < end
        }
        condition.lock()
        isAsleep.store(true, ordering: .sequentiallyConsistent)
        while !holds() { condition.wait() }
        isAsleep.store(false, ordering: .relaxed)
        condition.unlock()
    }

    /// Cheap where nobody sleeps.
    func wake() {
        guard isAsleep.load(ordering: .sequentiallyConsistent) else { return }
        condition.lock()
        condition.signal()
        condition.unlock()
    }

    private func nanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

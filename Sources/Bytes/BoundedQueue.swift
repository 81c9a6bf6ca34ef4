import Dispatch
import Foundation

/// Work for one other thread, done in order, with a bound on the bytes that wait for it.
///
/// The producer is held back while more than `limit` bytes wait: that is what keeps memory bounded when the
/// disk is slower than the cores. After an error nothing more is done, and the next call throws it.
public final class BoundedQueue: @unchecked Sendable {
    // @unchecked: everything mutable is under `condition`.
    private let queue = DispatchQueue(label: "crayon.output")
    private let condition = NSCondition()
    private let limit: Int
    private var waiting = 0
    private var failure: CrayonError?
    private var isCancelled = false

    public init(limit: Int) { self.limit = limit }

    /// - Parameter bytes: what `work` keeps alive.
    public func add(bytes: Int, _ work: @escaping () throws(CrayonError) -> Void) throws(CrayonError) {
        condition.lock()
        while waiting > 0, waiting + bytes > limit, failure == nil { condition.wait() }
        let failed = failure
        if failed == nil { waiting += bytes }
        condition.unlock()
        if let failed { throw failed }
        // Handed over: the producer does not touch it again.
        nonisolated(unsafe) let work = work
        queue.async { [self] in
            condition.lock()
            let skip = failure != nil || isCancelled
            condition.unlock()
            var thrown: CrayonError?
            if !skip {
                do throws(CrayonError) { try work() } catch { thrown = error }
            }
            condition.lock()
            waiting -= bytes
            if failure == nil { failure = thrown }
            condition.broadcast()
            condition.unlock()
        }
    }

    /// Drops what waits, and returns when nothing is at work any more and nothing is kept alive.
    public func cancel() {
        condition.lock()
        isCancelled = true
        condition.unlock()
        queue.sync {}
    }

    /// Waits until all is done.
    public func finish() throws(CrayonError) {
        queue.sync {}
        condition.lock()
        let failed = failure
        condition.unlock()
        if let failed { throw failed }
    }
}

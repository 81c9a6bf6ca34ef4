import Foundation
import Kernels
import Synchronization
import Testing

/// Pools of their own, so that what other tests run at the same time counts for nothing.
@Suite struct ThreadPoolTests {
    struct Failure: Error, Equatable { let index: Int }

    static let threadCounts = [1, 2, 3, 5]

    /// Returns when `count` calls have been made: no fewer threads than that are at work.
    final class Meeting: Sendable {
        private let arrived = Atomic<Int>(0)

        func wait(for count: Int) {
            arrived.wrappingAdd(1, ordering: .sequentiallyConsistent)
            while arrived.load(ordering: .sequentiallyConsistent) < count { sched_yield() }
        }
    }

    /// Something that one thread waits for and another does.
    final class Event: Sendable {
        private let isDone = Atomic<Bool>(false)

        func happen() { isDone.store(true, ordering: .sequentiallyConsistent) }
        func wait() { while !isDone.load(ordering: .sequentiallyConsistent) { sched_yield() } }
    }

    struct Count: ParallelBody {
        let seen: UnsafeMutablePointer<UInt8>
        func run(_ index: Int) { seen[index] += 1 }
    }

    @Test(arguments: threadCounts, [0, 1, 2, 3, 7, 1000]) func everyIndexOnce(threads: Int, count: Int) {
        let pool = ThreadPool()
        var seen = [UInt8](repeating: 0, count: count)
        seen.withUnsafeMutableBufferPointer { seen in
            guard let start = seen.baseAddress else { return }
            for _ in 0..<50 {
                pool.forEach(count: count, threads: threads) { start[$0] += 1 }
                pool.forEach(count: count, threads: threads, Count(seen: start))
            }
        }
        #expect(seen.allSatisfy { $0 == 100 })
    }

    /// Threads are started when they are first wanted, and stay.
    @Test func threadsAreStartedOnce() {
        let pool = ThreadPool()
        #expect(pool.startedThreads == 0)
        for (threads, started) in [(1, 0), (2, 1), (3, 2), (5, 4), (2, 4), (1, 4), (5, 4)] {
            for _ in 0..<100 { pool.forEach(count: 20, threads: threads) { _ in } }
            #expect(pool.startedThreads == started, "\(threads) threads")
        }
        // No more than have something to do.
        let small = ThreadPool()
        small.forEach(count: 2, threads: 5) { _ in }
        #expect(small.startedThreads == 1)
    }

    /// As many threads as asked for, the calling one among them, each with ascending indices.
    @Test(arguments: [2, 3, 5]) func threadsOfALoop(threads: Int) {
        let (pool, meeting) = (ThreadPool(), Meeting())
        let order = Mutex<[pthread_t: [Int]]>([:])
        pool.forEach(count: 100, threads: threads) { index in
            order.withLock { $0[pthread_self(), default: []].append(index) }
            if index < threads { meeting.wait(for: threads) }
        }
        let found = order.withLock { $0 }
        #expect(found.count == threads && found[pthread_self()] != nil)
        #expect(found.values.allSatisfy { $0 == $0.sorted() })
    }

    /// The error of the lowest index, though another came first; and the pool goes on.
    @Test(arguments: [2, 3, 5]) func errors(threads: Int) {
        let pool = ThreadPool()
        for round in 0..<20 {
            let later = Event()
            let begun = Atomic<Int>(0)
            #expect(throws: Failure(index: round)) {
                try pool.forEach(count: 100_000, threads: threads) { (index) throws(Failure) in
                    begun.wrappingAdd(1, ordering: .relaxed)
                    if index == round { later.wait() }
                    guard index >= round else { return }
                    if index > round { later.happen() }
                    throw Failure(index: index)
                }
            }
            #expect(begun.load(ordering: .relaxed) <= round + threads)
        }
    }

    @Test(arguments: threadCounts) func nests(threads: Int) {
        let pool = ThreadPool()
        let sum = Atomic<Int>(0)
        for _ in 0..<20 {
            pool.forEach(count: 7, threads: threads) { _ in
                pool.forEach(count: 5, threads: threads) { _ in
                    pool.forEach(count: 10, threads: threads) { sum.wrappingAdd($0, ordering: .relaxed) }
                }
            }
        }
        #expect(sum.load(ordering: .relaxed) == 20 * 7 * 5 * 45)
    }

    /// What a task of the tests' own threads computes.
    private func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
        let group = DispatchGroup()
        for index in 0..<count {
            group.enter()
            Thread {
                body(index)
                group.leave()
            }.start()
        }
        group.wait()
    }

    @Test(arguments: threadCounts) func severalCallers(threads: Int) {
        let pool = ThreadPool()
        let wrong = Atomic<Int>(0)
        onThreads(4) { caller in
            for round in 0..<300 {
                let sum = Atomic<Int>(0)
                pool.forEach(count: 40 + caller, threads: threads) { sum.wrappingAdd($0 * round, ordering: .relaxed) }
                let count = 40 + caller
                if sum.load(ordering: .relaxed) != round * count * (count - 1) / 2 {
                    wrong.wrappingAdd(1, ordering: .relaxed)
                }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(pool.startedThreads == threads - 1)
    }

    /// A loop that found the pool taken runs on its own thread, and with the pool once that is free.
    @Test func theSecondLoopGoesOnWithThePool() {
        let pool = ThreadPool()
        let (isTaken, isSecondBegun, isFirstDone) = (Event(), Event(), Event())
        let meeting = Meeting()
        let threads = Mutex<Set<pthread_t>>([])
        onThreads(2) { caller in
            if caller == 0 {
                pool.forEach(count: 2, threads: 2) { _ in
                    isTaken.happen()
                    isSecondBegun.wait()
                }
                isFirstDone.happen()
            } else {
                isTaken.wait()
                pool.forEach(count: 3, threads: 2) { index in
                    isSecondBegun.happen()
                    if index == 0 { return isFirstDone.wait() }
                    threads.withLock { _ = $0.insert(pthread_self()) }
                    meeting.wait(for: 2)
                }
            }
        }
        #expect(threads.withLock { $0.count } == 2)
        #expect(pool.startedThreads == 1)
    }

    /// Threads end with their pool, asleep or awake.
    @Test func poolsEnd() {
        for round in 0..<50 {
            let pool = ThreadPool()
            pool.forEach(count: 3, threads: 3) { _ in }
            if round % 10 == 0 { usleep(1000) }
        }
    }
}

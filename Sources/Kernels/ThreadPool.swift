import Foundation
import Synchronization

/// Threads that run a loop together with the thread that asks for it.
///
/// They are started when a loop first wants them, and stay. Between loops that follow each other closely they watch for the next
/// one; after `spinNanoseconds` they sleep. One loop at a time has them: a loop that is begun meanwhile, by another thread or
/// from within a body, runs on the thread that began it, and goes on with the pool when that has become free.
public final class ThreadPool: Sendable {
    /// The pool of `Parallel`.
    static let shared = ThreadPool()

    private let state = PoolState()

    public init() {}

    deinit { state.end() }

    /// Threads that were started so far.
    public var startedThreads: Int { state.started.load(ordering: .relaxed) }

    /// See `Parallel.forEach`.
    /// - Parameter threads: how many run the loop at most, the calling one among them.
    public func forEach<Failure: Error>(
        count: Int, threads: Int, _ body: (Int) throws(Failure) -> Void
    ) throws(Failure) {
        var index = 0
        while index < count {
            guard threads > 1, index < count - 1, state.take() else {
                try body(index)
                index += 1
                continue
            }
            defer { state.giveBack() }
            var first: (index: Int, error: Failure)?
            withoutActuallyEscaping(body) { body in
                withUnsafeMutablePointer(to: &first) { first in
                    withUnsafePointer(to: ThrowingBody(body: body, first: first)) {
                        state.run(ThrowingLoop<Failure>.self, UnsafeRawPointer($0), index..<count, threads: threads)
                    }
                }
            }
            if let first { throw first.error }
            return
        }
    }

    /// The same for a body that is a value: nothing is allocated.
    public func forEach(count: Int, threads: Int, _ body: some ParallelBody) {
        func run<Body: ParallelBody>(_ body: Body, _ indices: Range<Int>) {
            withUnsafePointer(to: body) {
                state.run(PlainLoop<Body>.self, UnsafeRawPointer($0), indices, threads: threads)
            }
        }
        var index = 0
        while index < count {
            guard threads > 1, index < count - 1, state.take() else {
                body.run(index)
                index += 1
                continue
            }
            defer { state.giveBack() }
            return run(body, index..<count)
        }
    }
}

/// What a pool's threads share.
final class PoolState: @unchecked Sendable {
    // @unchecked: the loop and the list of workers belong to the thread that has taken the pool; workers read the loop between
    // entering it and leaving it, which the gate orders.

    /// How long a thread watches for what must come soon before it sleeps: longer than what lies between two loops of a decoding
    /// step, and what a sleep and a wake would cost.
    private static let spinNanoseconds: UInt64 = 50_000
    private static let cores = AvailableCores.count

    private let isTaken = Atomic<Bool>(false)
    private let gate = Atomic<UInt64>(0)
    private let indices = LoopIndices()
    private var loop: (any ErasedLoop.Type)?
    private var body: UnsafeRawPointer?
    private var workers: [PoolWorker] = []
    private let caller = Sleeper()
    /// 0 where there are more threads than cores: who watches then keeps another from working.
    private let spin = Atomic<UInt64>(0)
    private let isEnding = Atomic<Bool>(false)
    let started = Atomic<Int>(0)

    /// - Returns: false while a loop goes on.
    func take() -> Bool {
        !isTaken.load(ordering: .relaxed)
            && isTaken.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged
    }

    func giveBack() { isTaken.store(false, ordering: .releasing) }

    /// Runs a loop with as many workers as there is work for; returns when all is done.
    /// - Precondition: the calling thread has taken the pool.
    func run(_ loop: any ErasedLoop.Type, _ body: UnsafeRawPointer, _ range: Range<Int>, threads: Int) {
        let helpers = start(min(threads, range.count) - 1)
        spin.store(threads > PoolState.cores ? 0 : PoolState.spinNanoseconds, ordering: .relaxed)
        indices.begin(range)
        self.loop = loop
        self.body = body
        let closed = LoopGate(word: gate.load(ordering: .relaxed))
        gate.store(closed.next(wanting: helpers).word, ordering: .sequentiallyConsistent)
        for index in 0..<helpers { workers[index].sleeper.wake() }
        loop.run(body, indices)
        gate.bitwiseAnd(~LoopGate.wantedMask, ordering: .sequentiallyConsistent)
        caller.wait(spin: spin.load(ordering: .relaxed)) { isEmpty }
        self.body = nil
    }

    private var isEmpty: Bool { LoopGate(word: gate.load(ordering: .sequentiallyConsistent)).inside == 0 }

    /// Starts workers until there are that many.
    /// - Returns: how many there are, no more than asked for; the system may refuse some.
    private func start(_ count: Int) -> Int {
        let count = min(count, LoopGate.mostWorkers)
        while workers.count < count {
            guard let worker = PoolWorker(index: workers.count, state: self) else { break }
            workers.append(worker)
            started.wrappingAdd(1, ordering: .relaxed)
        }
        return min(count, workers.count)
    }

    /// What a worker does until the pool ends.
    func work(_ index: Int, _ sleeper: borrowing Sleeper) {
        var seen: UInt32 = 0
        while !isEnding.load(ordering: .acquiring) {
            let found = LoopGate(word: gate.load(ordering: .acquiring))
            if found.number != seen {
                guard index < found.wanted else {
                    seen = found.number
                    // Loops that want fewer workers are nothing to watch for.
                    wait(sleeper, past: seen, spins: found.wanted == 0)
                    continue
                }
                guard
                    gate.compareExchange(
                        expected: found.word, desired: found.entered, ordering: .acquiringAndReleasing
                    ).exchanged
                else { continue }
                seen = found.number
                if let loop, let body { loop.run(body, indices) }
                let left = gate.wrappingSubtract(1, ordering: .sequentiallyConsistent).newValue
                if left & (LoopGate.wantedMask | 0xffff) == 0 { caller.wake() }
            }
            wait(sleeper, past: seen, spins: true)
        }
    }

    private func wait(_ sleeper: borrowing Sleeper, past seen: UInt32, spins: Bool) {
        sleeper.wait(spin: spins ? spin.load(ordering: .relaxed) : 0) {
            LoopGate(word: gate.load(ordering: .sequentiallyConsistent)).number != seen
                || isEnding.load(ordering: .sequentiallyConsistent)
        }
    }

    /// Ends all threads.
    func end() {
        isEnding.store(true, ordering: .sequentiallyConsistent)
        for worker in workers { worker.sleeper.wake() }
        for worker in workers { worker.join() }
        workers = []
    }
}

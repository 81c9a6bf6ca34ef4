public import Bytes
import Foundation
import Kernels
public import Quantization
import Synchronization

/// A weight that is on its way: who needs it waits for it, and makes what nobody has begun to make.
public final class WeightArrival: Sendable {
    /// Nil once all of it is there, so that who needs it no longer, because it was converted, frees its memory.
    private let deferred: Mutex<DeferredTensor?>
    private let pieceElements: Int
    private let pieces: Pieces
    /// Pieces that have not come out well yet: never 0 for a weight of which one cannot be made.
    private let left: Atomic<Int>
    private let waiting = Atomic<Int>(0)
    private let condition = NSCondition()
    /// By piece.
    private let errors = Mutex<[Int: CrayonError]>([:])
    private let failures: WeightFailures

    /// What becomes of a piece.
    private enum Stage {
        static let untouched: UInt8 = 0
        static let begun: UInt8 = 1
        static let over: UInt8 = 2
    }

    /// - Parameter failures: told of a weight that was needed and could not be made.
    public init(_ deferred: DeferredTensor, failures: WeightFailures) {
        self.deferred = Mutex(deferred)
        pieceElements = deferred.pieceElements
        self.failures = failures
        pieces = Pieces(deferred.pieceCount)
        left = Atomic(deferred.pieceCount)
    }

    public var pieceCount: Int { pieces.count }

    /// Whether all of it is there.
    public var isComplete: Bool { left.load(ordering: .acquiring) == 0 }

    /// Makes a piece, unless somebody has begun to.
    public func make(_ piece: Int) {
        guard
            pieces[piece].compareExchange(expected: Stage.untouched, desired: Stage.begun, ordering: .acquiring)
                .exchanged, let deferred = deferred.withLock({ $0 })
        else { return }
        do throws(CrayonError) {
            try deferred.make(piece)
            let isLast = left.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0
            if isLast { self.deferred.withLock { $0 = nil } }
        } catch {
            errors.withLock { $0[piece] = error }
        }
        pieces[piece].store(Stage.over, ordering: .sequentiallyConsistent)
        guard waiting.load(ordering: .sequentiallyConsistent) > 0 else { return }
        condition.lock()
        condition.broadcast()
        condition.unlock()
    }

    /// Returns when all of it has been made, with the help of all cores. What could not be made is told to `failures`, and holds
    /// anything.
    public func wait() {
        if isComplete { return }
        Parallel.forEach(count: pieceCount) { make($0) }
        sleep(for: 0..<pieceCount)
        tellFailure(in: 0..<pieceCount)
    }

    /// The same for a part.
    /// - Parameter elements: runs of elements; those that lie in the same piece are made once.
    public func wait(forElements runs: [Range<Int>]) {
        if isComplete { return }
        Parallel.forEach(count: runs.count) { for piece in pieces(of: runs[$0]) { make(piece) } }
        for run in runs {
            sleep(for: pieces(of: run))
            tellFailure(in: pieces(of: run))
        }
    }

    private func pieces(of elements: Range<Int>) -> Range<Int> {
        DeferredTensor.pieces(of: elements, pieceElements: pieceElements)
    }

    /// Why it is not there, once it has been waited for: the error of the first piece that could not be made.
    public var error: CrayonError? { error(in: 0..<pieceCount) }

    private func error(in range: Range<Int>) -> CrayonError? {
        errors.withLock { errors in errors.keys.filter(range.contains).min().flatMap { errors[$0] } }
    }

    private func sleep(for range: Range<Int>) {
        func isOver() -> Bool {
            range.allSatisfy { pieces[$0].load(ordering: .sequentiallyConsistent) == Stage.over }
        }
        if isOver() { return }
        waiting.wrappingAdd(1, ordering: .sequentiallyConsistent)
        condition.lock()
        while !isOver() { condition.wait() }
        condition.unlock()
        waiting.wrappingSubtract(1, ordering: .relaxed)
    }

    private func tellFailure(in range: Range<Int>) {
        if let error = error(in: range) { failures.tell(error) }
    }

    /// One atomic byte for each piece.
    private final class Pieces: @unchecked Sendable {
        // @unchecked: atomics.
        private let bytes: UnsafeMutablePointer<Atomic<UInt8>>
        let count: Int

        init(_ count: Int) {
            self.count = count
            bytes = .allocate(capacity: max(count, 1))
            for index in 0..<count { (bytes + index).initialize(to: Atomic(Stage.untouched)) }
        }

        deinit {
            bytes.deinitialize(count: count)
            bytes.deallocate()
        }

        subscript(index: Int) -> Atomic<UInt8> {
            _read {
                precondition(index >= 0 && index < count)
                yield bytes[index]
            }
        }
    }
}

/// Weights that passes needed and that could not be made: a pass cannot throw where it finds out, so it computes on, with
/// anything, and whoever asked for it looks here before it believes the result.
public final class WeightFailures: Sendable {
    private let hasAny = Atomic<Bool>(false)
    private let first = Mutex<CrayonError?>(nil)

    public init() {}

    func tell(_ error: CrayonError) {
        first.withLock { if $0 == nil { $0 = error } }
        hasAny.store(true, ordering: .releasing)
    }

    /// - Throws: the first of them.
    public func check() throws(CrayonError) {
        guard hasAny.load(ordering: .acquiring), let error = first.withLock({ $0 }) else { return }
        throw error
    }
}

public import Bytes
import Dispatch
import Foundation
public import Models

/// Sequences to learn from at once.
public struct Batch: Sendable {
    /// As many as were asked for, less those whose picture was broken.
    public internal(set) var sequences: [TrainingSequence]
    /// What each was made of.
    public internal(set) var examples: [Example]
    /// Records left out since the batch before.
    public internal(set) var skipped: [SkippedRecord]
    /// Where the stream stands behind this batch, the counts of what has been left out so far among it.
    public internal(set) var position: DataPosition
}

/// An endless stream of batches, read and decoded ahead on a thread of its own.
///
///     let mixture = try DataMixture([conversations, instructions])
///     let batches = try BatchStream(mixture, encoder: encoder, options: options, from: checkpoint.position)
///     while step < steps { learn(from: try batches.next()) }
///
/// For one thread at a time. At most `BatchOptions.ahead` batches wait, and one window of token ids is kept.
public final class BatchStream {
    public let mixture: DataMixture
    private let ahead: BatchesAhead?
    private var maker: BatchMaker

    /// - Parameter position: where to go on; nil for the beginning.
    /// - Throws: `CrayonError` for options that make no sense, and for a position of another stream.
    public init(
        _ mixture: DataMixture, encoder: ExampleEncoder, options: BatchOptions = BatchOptions(),
        from position: DataPosition? = nil
    ) throws(CrayonError) {
        self.mixture = mixture
        maker = try BatchMaker(mixture, encoder, options, from: position)
        ahead = options.ahead > 0 ? BatchesAhead(maker, limit: options.ahead) : nil
    }

    deinit { ahead?.stop() }

    /// The next batch. An epoch ends where it ends: the stream goes on with the next one.
    /// - Throws: `CrayonError` when too many records or pictures are broken.
    public func next() throws(CrayonError) -> Batch {
        if let ahead { try ahead.next() } else { try maker.next() }
    }
}

/// A thread that makes batches until enough wait.
private final class BatchesAhead: @unchecked Sendable {
    // @unchecked: everything mutable is under `condition`.
    private let condition = NSCondition()
    private let limit: Int
    private var waiting: [Result<Batch, CrayonError>] = []
    private var isStopped = false
    private var failure: CrayonError?

    init(_ maker: BatchMaker, limit: Int) {
        self.limit = limit
        DispatchQueue(label: "crayon.data", qos: .userInitiated).async { [self] in
            var maker = maker
            while waitForRoom() {
                let made = Result { () throws(CrayonError) in try maker.next() }
                add(made)
                if case .failure = made { return }
            }
        }
    }

    func next() throws(CrayonError) -> Batch {
        condition.lock()
        while waiting.isEmpty, failure == nil { condition.wait() }
        let result = failure.map { .failure($0) } ?? waiting.removeFirst()
        // After an error there is nothing more.
        if case .failure(let error) = result { failure = error }
        condition.broadcast()
        condition.unlock()
        return try result.get()
    }

    func stop() {
        condition.lock()
        isStopped = true
        condition.broadcast()
        condition.unlock()
    }

    private func waitForRoom() -> Bool {
        condition.lock()
        defer { condition.unlock() }
        while waiting.count >= limit, !isStopped { condition.wait() }
        return !isStopped
    }

    private func add(_ batch: Result<Batch, CrayonError>) {
        condition.lock()
        waiting.append(batch)
        condition.broadcast()
        condition.unlock()
    }
}

public import Bytes
public import Datasets

/// A stream of batches as what a run learns from.
public struct StreamedBatches: BatchSource {
    private let stream: BatchStream
    private let skipped: (SkippedRecord) -> Void

    /// - Parameters:
    ///   - stream: made with the plan's seed, batch size and sequences of a step, the rank, and the position that the run
    ///     asks for.
    ///   - skipped: is told of every record that is left out.
    public init(_ stream: BatchStream, skipped: @escaping (SkippedRecord) -> Void = { _ in }) {
        self.stream = stream
        self.skipped = skipped
    }

    public mutating func next() throws(CrayonError) -> SourcedBatch<DataPosition> {
        let batch = try stream.next()
        for record in batch.skipped { skipped(record) }
        return SourcedBatch(sequences: batch.sequences, position: batch.position, skipped: batch.skipped.count)
    }
}

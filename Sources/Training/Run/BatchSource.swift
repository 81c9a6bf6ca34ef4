public import Bytes
public import Models

/// Sequences that go through the model together.
public struct SourcedBatch<Position: Codable & Sendable>: Sendable {
    /// May be fewer than asked for, or none, where pictures were broken.
    public var sequences: [TrainingSequence]
    /// Where the source stands behind this batch.
    public var position: Position
    /// Records left out since the batch before.
    public var skipped: Int

    public init(sequences: [TrainingSequence], position: Position, skipped: Int = 0) {
        self.sequences = sequences
        self.position = position
        self.skipped = skipped
    }
}

/// An endless stream of batches that can go on from a position.
public protocol BatchSource {
    /// All that there is to know of where the stream stands.
    associatedtype Position: Codable & Sendable

    mutating func next() throws(CrayonError) -> SourcedBatch<Position>
}

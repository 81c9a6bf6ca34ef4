import Bytes

/// How examples become batches.
public struct BatchOptions: Sendable, Equatable {
    /// Sequences that one call of `next` gives.
    public var batchSize: Int
    /// Sequences of one update of the weights, on all ranks and in all of its batches; they are of similar length. A multiple
    /// of `batchSize * ranks`, which it is when nil.
    ///
    /// The same number gives the same sequences in the same updates, however they are split into batches and ranks.
    public var sequencesPerStep: Int?
    /// Updates whose sequences are drawn together and sorted by length; 1 leaves them as they come.
    public var windowSteps: Int
    /// Orders examples and steps. (What a data set draws has a seed of its own.)
    public var seed: UInt64
    /// Which part of every step this process is given.
    public var rank: Int
    public var ranks: Int
    /// Batches that are made ready ahead, on a thread of their own; 0 for none: then `next` does all the work itself.
    public var ahead: Int
    /// Threads that read records and pictures.
    public var workers: Int
    /// The share of broken records, or of broken pictures, that is borne.
    public var mostBroken: Double
    /// How many must have been read before that share is looked at.
    public var brokenAfter: Int

    public init(
        batchSize: Int = 1, sequencesPerStep: Int? = nil, windowSteps: Int = 32, seed: UInt64 = 0, rank: Int = 0,
        ranks: Int = 1, ahead: Int = 2, workers: Int = 1, mostBroken: Double = 0.01, brokenAfter: Int = 100
    ) {
        self.batchSize = batchSize
        self.sequencesPerStep = sequencesPerStep
        self.windowSteps = windowSteps
        self.seed = seed
        self.rank = rank
        self.ranks = ranks
        self.ahead = ahead
        self.workers = workers
        self.mostBroken = mostBroken
        self.brokenAfter = brokenAfter
    }

    /// - Throws: `CrayonError` naming the option that makes no sense.
    func validate() throws(CrayonError) {
        for (name, value, least) in [
            ("batch size", batchSize, 1), ("window steps", windowSteps, 1), ("ranks", ranks, 1),
            ("batches ahead", ahead, 0), ("workers", workers, 1), ("broken after", brokenAfter, 0),
        ] where value < least || value > 1 << 20 {
            throw CrayonError(.usage, in: name, found: "\(value)", expected: "\(least) ... \(1 << 20)")
        }
        guard (0..<ranks).contains(rank) else {
            throw CrayonError(.usage, in: "rank", found: "\(rank)", expected: "0 ..< \(ranks)")
        }
        guard mostBroken >= 0 else {
            throw CrayonError(.usage, in: "broken share", found: "\(mostBroken)", expected: "0 or more")
        }
        guard step >= 1, step <= 1 << 20, step % (batchSize * ranks) == 0 else {
            throw CrayonError(
                .usage, in: "sequences of a step", found: "\(step)",
                expected: "a multiple of \(batchSize * ranks): \(batchSize) sequences on each of \(ranks) ranks")
        }
    }

    var step: Int { sequencesPerStep ?? batchSize * ranks }
}

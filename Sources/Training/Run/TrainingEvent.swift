public import Bytes
public import JSON

/// What a run tells whoever looks on. On rank 0 alone.
public enum TrainingEvent: Sendable, Equatable {
    /// From which update on; 0 for the beginning.
    case began(at: Int, updates: Int)
    case updated(TrainingProgress)
    /// A gradient was not finite; the weights stay as they are.
    case skipped(update: Int, reason: String)
    case evaluated(update: Int, JSONObject)
    case wroteCheckpoint(String)
    /// Something that the run goes on after: a checkpoint that is not whole, a plot that cannot be drawn.
    case warning(String)
}

/// How a run goes.
public struct TrainingProgress: Sendable, Equatable {
    /// Updates done.
    public var update: Int
    public var updates: Int
    /// Mean cross-entropy over the update's targets; nil where it has none.
    public var loss: Double?
    /// The plan's learning rate at this update.
    public var rate: Double
    /// Before clipping.
    public var gradientNorm: Double
    public var targets: Int
    public var positions: Int
    /// What the update took.
    public var seconds: Double
    public var positionsPerSecond: Double
    public var secondsLeft: Double
}

/// What a run does between updates.
public struct TrainingHooks {
    /// Every `evaluateEvery` updates, before the first and after the last one. A member `loss` is plotted.
    public var evaluate: ((_ update: Int) throws(CrayonError) -> JSONObject)?
    /// Every `sampleEvery` updates and after the last: objects for `samples.jsonl`.
    public var sample: ((_ update: Int) throws(CrayonError) -> [JSONObject])?

    public init(
        evaluate: ((_ update: Int) throws(CrayonError) -> JSONObject)? = nil,
        sample: ((_ update: Int) throws(CrayonError) -> [JSONObject])? = nil
    ) {
        self.evaluate = evaluate
        self.sample = sample
    }
}

/// How a run ended.
public struct TrainingOutcome: Sendable, Equatable {
    /// Updates done.
    public var update: Int
    public var updates: Int
    /// Updates of these whose gradient was not finite.
    public var skipped: Int
    /// The last checkpoint, which holds what was learned; nil where none was written (`--resume` of a run of no updates).
    public var checkpoint: String?

    /// False for a run that was told to stop.
    public var isFinished: Bool { update == updates }
}

import Architecture
public import Layers

/// What a stage of training does: all that its result depends on beside the model and the data.
///
/// As JSON in a run's folder and for `--plan`; `Formats/training-run.md` specifies it.
public struct TrainingPlan: Sendable, Equatable {
    /// The stage's name, for the bundle's history: letters, digits, `-` and `_`.
    public var stage: String
    /// What learns, each at its own rate.
    public var learns: [Learning]
    /// Low-rank sets that are begun where the bundle does not have them.
    public var sets: [StageModel.FreshSet] = []
    /// The sets that act; nil for those that do in the bundle, and the ones begun.
    public var activeSets: [String]?
    /// Whether the crayon prompt is used.
    public var usesCrayon = true

    /// Peak of the learning rate, and where it ends.
    public var rate = 1e-4
    public var finalRate = 1e-6
    public var schedule = Schedule.Curve.cosine
    public var warmup = Warmup.updates(0)

    /// Sequences of an update, over all of its batches and ranks.
    public var sequences = 16
    /// Sequences that pass through the model at once.
    public var batchSize = 1
    public var length = Length.epochs(1)
    /// Positions of a sequence at most; longer ones are left out. Nil for as many as there are.
    public var maxLength: Int?

    public var optimizer = AdamWSettings()
    public var weightDecay = 0.0
    /// Whether biases, norms and other vectors decay too.
    public var decaysVectors = false
    /// The norm that gradients are clipped to; nil to leave them.
    public var clipNorm: Double? = 1
    /// The share of the inputs of learning pairs that become 0.
    public var dropout = 0.0
    /// Blocks whose activations are computed again together in the backward pass; 0 to keep all.
    public var recomputedBlocks = 1
    /// What products with weights are computed in, forward and backward. The gradients' error from int16 is a fraction of what
    /// training in 16-bit floats, which is usual, brings with it.
    public var arithmetic = Arithmetic.int16
    public var seed: UInt64 = 0
    /// Updates in a row whose gradient is not finite, and which are skipped, until the run ends with an error.
    public var mostSkipped = 5

    /// In updates; nil for never.
    public var evaluateEvery: Int?
    public var sampleEvery: Int?
    public var checkpointEvery: Int?
    public var keptCheckpoints = 2

    public init(stage: String, learns: [Learning]) {
        self.stage = stage
        self.learns = learns
    }

    /// A part that learns.
    public struct Learning: Sendable, Equatable {
        /// As `LearnablePart` reads it: `crayon`, `projectors`, `adapters:NAME`, …
        public var part: String
        /// Nil for the plan's.
        public var rate: Double?
        public var finalRate: Double?
        public var weightDecay: Double?

        public init(_ part: String, rate: Double? = nil, finalRate: Double? = nil, weightDecay: Double? = nil) {
            self.part = part
            self.rate = rate
            self.finalRate = finalRate
            self.weightDecay = weightDecay
        }
    }

    public enum Warmup: Sendable, Equatable {
        case updates(Int)
        /// A share of all updates.
        case ratio(Double)
    }

    public enum Length: Sendable, Equatable {
        /// Times that the data is gone through.
        case epochs(Double)
        case updates(Int)
    }
}

extension TrainingPlan {
    /// Batches of an update, over all ranks.
    public var batches: Int { sequences / max(batchSize, 1) }

    /// Updates of the run: as many as take all examples through, the last of them not full as a rule.
    public func updates(examplesPerEpoch: Int) -> Int {
        switch length {
        case .updates(let count): count
        case .epochs(let epochs):
            max(1, Int(min((epochs * Double(examplesPerEpoch) / Double(sequences)).rounded(.up), 1e15)))
        }
    }

    /// - Parameter updates: of the run.
    public func schedule(updates: Int) -> Schedule {
        let warm =
            switch warmup {
            case .updates(let count): min(count, updates)
            // transformers' rounding.
            case .ratio(let ratio): Int((ratio * Double(updates)).rounded(.up))
            }
        return Schedule(schedule, warmup: warm, updates: updates)
    }
}

public import Bytes
public import Collectives
public import JSON

/// Where a stage of training runs, and what it is told beside its plan.
///
/// One process, or the ranks of a communicator, which all call `run` with the same plan. Rank 0 alone reads and writes the
/// folder, calls the hooks and tells of events.
public struct TrainingRun {
    public var plan: TrainingPlan
    /// `plan.updates(examplesPerEpoch:)`
    public var updates: Int
    /// The run's folder, which is made: `plan.json`, `inputs.json`, `metrics.jsonl`, `samples.jsonl`, `loss.svg`, `loss.png`,
    /// `checkpoint-NNNNNN`.
    public var folder: String
    /// Whether to go on with the run that is in the folder; there need not be one.
    public var resumes: Bool
    /// What the result depends on beside the plan: digests of the model and the data, say.
    public var inputs: JSONObject
    public var communicator: any Communicator
    /// Asked after every update, on all ranks; one that says so stops all.
    public var shouldStop: () -> Bool

    /// - Parameter shouldStop: by default whether a signal was noted (`StopSignal.watch`).
    public init(
        _ plan: TrainingPlan, updates: Int, folder: String, resumes: Bool = false, inputs: JSONObject = JSONObject(),
        communicator: any Communicator = SingleProcess(),
        shouldStop: @escaping () -> Bool = { StopSignal.received != nil }
    ) {
        self.plan = plan
        self.updates = updates
        self.folder = folder
        self.resumes = resumes
        self.inputs = inputs
        self.communicator = communicator
        self.shouldStop = shouldStop
    }

    /// Trains until all updates are done, or until told to stop; either way a checkpoint is written at the end.
    ///
    /// The result is the same bytes for any number of ranks that divides an update's batches, of threads, and of times that the
    /// run was interrupted.
    /// - Parameters:
    ///   - batches: called once, with where to go on; nil for the beginning. Rank r of n gives batches r, r + n, … of every
    ///     update.
    /// - Returns: how it ended; `source.learned` holds what was learned.
    /// - Throws: `CrayonError` for a plan that makes no sense, a folder that holds another run, a disk that is full, too many
    ///   gradients in a row that are not finite, and whatever source and batches throw. The last checkpoint stays whole.
    public func run<Batches: BatchSource>(
        _ source: some GradientSource, batches: (Batches.Position?) throws(CrayonError) -> Batches,
        hooks: TrainingHooks = TrainingHooks(), progress: (TrainingEvent) -> Void = { _ in }
    ) throws(CrayonError) -> TrainingOutcome {
        try plan.validate()
        guard plan.batches % communicator.size == 0 else {
            throw CrayonError(
                .usage, in: "ranks", found: "\(communicator.size)",
                expected: "a divisor of the \(plan.batches) batches of an update",
                advice: "Change the plan's 'sequences' or 'batch_size'.")
        }
        return try withoutActuallyEscaping(progress) { (progress) throws(CrayonError) in
            let loop = try TrainingLoop(self, source, batches: batches, hooks: hooks, progress: progress)
            return try loop.run()
        }
    }
}

import Bytes
import Collectives
import Foundation
import JSON
import Models

/// One call of `TrainingRun.run`.
final class TrainingLoop<Source: GradientSource, Batches: BatchSource> {
    let job: TrainingRun
    let source: Source
    let optimizer: AdamW
    var batches: Batches
    var position: Batches.Position?
    var state: TrainingCheckpoint
    private let schedule: Schedule
    private let rates: [TensorRates]
    let sums: GradientSums?
    let hooks: TrainingHooks
    let tell: (TrainingEvent) -> Void
    /// On rank 0.
    let output: RunOutput?
    private var lastCheckpoint: String?
    private var secondsPerUpdate: Double?

    var plan: TrainingPlan { job.plan }
    var learned: LearnedTensors { source.learned }
    var ranks: any Communicator { job.communicator }

    init(
        _ job: TrainingRun, _ source: Source, batches: (Batches.Position?) throws(CrayonError) -> Batches,
        hooks: TrainingHooks, progress: @escaping (TrainingEvent) -> Void
    ) throws(CrayonError) {
        self.job = job
        self.source = source
        self.hooks = hooks
        tell = job.communicator.rank == 0 ? progress : { _ in }
        optimizer = AdamW(source.learned, settings: job.plan.optimizer)
        schedule = job.plan.schedule(updates: job.updates)
        rates = job.plan.rates(of: source.learned)
        sums = job.plan.batches > 1 ? GradientSums(source.learned) : nil
        let start = try Self.start(job, source.learned, optimizer, warn: { [tell] in tell(.warning($0)) })
        (state, output, lastCheckpoint) = (start.state, start.output, start.folder)
        position = try Self.decode(start.state.position, in: job.folder)
        self.batches = try batches(position)
    }

    func run() throws(CrayonError) -> TrainingOutcome {
        tell(.began(at: state.update, updates: job.updates))
        if state.update == 0, job.updates > 0 { try together { () throws(CrayonError) in try evaluate() } }
        var stops = false
        while state.update < job.updates, !stops {
            stops = try update()
            let isLast = state.update == job.updates
            let isDue = plan.checkpointEvery.map { state.update % $0 == 0 } ?? false
            if plan.evaluateEvery.map({ state.update % $0 == 0 }) ?? false || isLast {
                try together { () throws(CrayonError) in try evaluate() }
            }
            if plan.sampleEvery.map({ state.update % $0 == 0 }) ?? false || isLast {
                try together { () throws(CrayonError) in try sample() }
            }
            if isDue || isLast || stops { try checkpoint() }
        }
        return TrainingOutcome(
            update: state.update, updates: job.updates, skipped: state.skipped, checkpoint: lastCheckpoint)
    }

    /// Something that rank 0 does, and whose failure ends all.
    private func together(_ body: () throws(CrayonError) -> Void) throws(CrayonError) {
        _ = try ranks.onRankZero { () throws(CrayonError) in
            try body()
            return []
        }
    }
}

extension TrainingLoop {
    /// One update of the weights.
    /// - Returns: whether to stop after it.
    private func update() throws(CrayonError) -> Bool {
        let begun = ContinuousClock.now
        let number = state.update
        let sum = try gradients(of: number)
        let targets = Double(max(sum.loss.targets, 1))
        let norm = GradientNorm.of(learned) / targets
        state.update += 1
        state.targets += sum.loss.targets
        state.positions += sum.loss.positions
        // Squares of larger numbers leave float32.
        let isUsable = sum.loss.loss.isFinite && norm.isFinite && norm < 1e18
        let rate = schedule.rate(at: number, peak: plan.rate, floor: plan.finalRate)
        if isUsable, sum.loss.targets > 0 {
            let clipping = plan.clipNorm.map { GradientNorm.clipping(norm, to: $0) } ?? 1
            optimizer.update(
                gradientScale: clipping / targets,
                rates: rates.map { schedule.rate(at: number, peak: $0.peak, floor: $0.floor) },
                decays: rates.map(\.decay))
            state.skippedInARow = 0
        } else if isUsable {
            tell(.skipped(update: state.update, reason: "no token to learn from"))
        } else {
            try skip(sum, norm)
        }
        let seconds = (ContinuousClock.now - begun).seconds
        // The first update of a process warms caches up.
        secondsPerUpdate = secondsPerUpdate.map { 0.9 * $0 + 0.1 * seconds } ?? seconds
        let progress = TrainingProgress(
            update: state.update, updates: job.updates, loss: sum.loss.mean, rate: rate, gradientNorm: norm,
            targets: sum.loss.targets, positions: sum.loss.positions, seconds: seconds,
            positionsPerSecond: seconds > 0 ? Double(sum.loss.positions) / seconds : 0,
            secondsLeft: Double(job.updates - state.update) * (secondsPerUpdate ?? 0))
        try together { () throws(CrayonError) in
            try output?.write(progress, skipped: !isUsable, leftOut: sum.leftOut)
        }
        tell(.updated(progress))
        return sum.stops
    }

    /// The weights stay as they are.
    private func skip(_ sum: UpdateSum, _ norm: Double) throws(CrayonError) {
        state.skipped += 1
        state.skippedInARow += 1
        let first = GradientNorm.firstNotFinite(in: learned)
        let reason =
            first.map { "the gradient of '\($0)' is not finite" }
            ?? (sum.loss.loss.isFinite ? "the gradient's norm is \(norm)" : "the loss is \(sum.loss.loss)")
        tell(.skipped(update: state.update, reason: reason))
        guard state.skippedInARow >= plan.mostSkipped else { return }
        throw CrayonError(
            .notFinite, in: "update \(state.update)", item: first.map { "tensor '\($0)'" },
            found: "\(reason), as in \(state.skippedInARow) updates in a row", expected: "finite gradients",
            advice: "Lower 'rate' or 'clip_norm', or look at the data; the last checkpoint is whole.")
    }

    private func evaluate() throws(CrayonError) {
        guard plan.evaluateEvery != nil, let evaluate = hooks.evaluate, let output else { return }
        let result = try evaluate(state.update)
        try output.write(evaluation: result, at: state.update)
        tell(.evaluated(update: state.update, result))
    }

    private func sample() throws(CrayonError) {
        guard plan.sampleEvery != nil, let sample = hooks.sample, let output else { return }
        try output.write(samples: try sample(state.update), at: state.update)
    }

    private func checkpoint() throws(CrayonError) {
        if ranks.size > 1 { try ranks.requireSame(learned.digest, "weights after update \(state.update)") }
        state.optimizerUpdates = optimizer.updates
        if let position { state.position = try Self.encode(position, in: job.folder) }
        try together { () throws(CrayonError) in
            guard let output else { return }
            do throws(CrayonError) {
                try output.sync()
                lastCheckpoint = try state.write(learned: learned, optimizer: optimizer, in: job.folder)
            } catch {
                var error = error
                let last = TrainingCheckpoint.updates(in: job.folder).last.map(TrainingCheckpoint.name)
                error.advice =
                    last.map { "\($0) is whole: make room, then go on from it with --resume." }
                    ?? "Make room, then begin again with --resume."
                throw error
            }
            TrainingCheckpoint.prune(in: job.folder, keeping: plan.keptCheckpoints)
            if let lastCheckpoint { tell(.wroteCheckpoint(lastCheckpoint)) }
            do throws(CrayonError) {
                try output.plot(stage: plan.stage)
            } catch {
                tell(.warning(error.description))
            }
        }
    }
}

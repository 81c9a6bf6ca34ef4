import ArgumentParser
import CrayonKit

/// What every stage of training takes.
struct TrainOptions: ParsableArguments {
    @OptionGroup(title: "Data") var data: DataOptions
    @OptionGroup(title: "Validation") var validation: ValidationOptions
    @OptionGroup(title: "Plan") var plan: PlanOptions

    @Option(name: .shortAndLong, help: ArgumentHelp("The bundle to write.", valueName: "file"))
    var output: String

    @Option(
        name: .long,
        help: ArgumentHelp("The run's folder; OUTPUT.run by default. Formats/training-run.md.", valueName: "dir"))
    var run: String?

    @Flag(name: .long, help: "Go on with an interrupted run; it ends in the same bytes.")
    var resume = false

    @Flag(name: .long, help: "Share the work of an update among the processes that mpirun has started.")
    var mpi = false

    @OptionGroup var common: CommonOptions

    /// Trains, showing how it goes.
    func train(_ model: String, preset: TrainingPlan.Preset?) throws {
        common.apply()
        let made = try plan.made(from: preset)
        let communicator: any Communicator = mpi ? try MPI() : SingleProcess()
        let isSpeaker = communicator.rank == 0
        let folder = run ?? "\(output).run"
        StopSignal.watch(notice: "\nStopping after this update; again to stop at once.\n")
        let job = TrainingJob(
            try BundleReader(path: model), plan: made, data: try data.sources(seed: made.seed),
            validation: try validation.made(seed: made.seed), output: output, folder: folder, resumes: resume,
            communicator: communicator)
        let display = TrainingDisplay(quiet: common.quiet || common.json || !isSpeaker)
        let memory = MemoryWatch()
        let clock = ContinuousClock()
        let start = clock.now
        let outcome = try job.run { display.show($0) }
        communicator.finish()
        let duration = clock.now - start
        let peak = memory.finish()
        display.finish()
        guard outcome.isFinished else {
            if isSpeaker {
                Output.note(
                    "stopped after update \(outcome.update) of \(outcome.updates); go on with --resume"
                        + (outcome.checkpoint.map { ": \($0)" } ?? ""))
            }
            if let signal = StopSignal.received { StopSignal.die(of: signal) }
            throw ExitCode(2)
        }
        guard isSpeaker else { return }
        if common.json {
            Output.print(
                try Output.json(
                    TrainingResult(
                        output: output, run: folder, updates: outcome.updates, skipped: outcome.skipped,
                        loss: display.loss, peakAnonymousBytes: peak, peakResidentBytes: MemoryWatch.peakResidentBytes))
            )
        } else if !common.quiet {
            let memory =
                (peak.map { ", \(Format.bytes($0)) of memory at most" } ?? "")
                + (MemoryWatch.peakResidentBytes.map { " (\(Format.bytes($0)) with the bundle's mapped pages)" } ?? "")
            Output.print(
                "\(output): \(outcome.updates) updates in \(Format.duration(tenths: duration))\(memory)\n"
                    + "\(folder): metrics, samples, plots, adapters")
        }
    }
}

/// What `--json` prints.
private struct TrainingResult: Encodable {
    var output: String
    var run: String
    var updates: Int
    var skipped: Int
    /// Of the last update.
    var loss: Double?
    var peakAnonymousBytes: Int?
    var peakResidentBytes: Int?
}

/// Data to measure on during training.
struct ValidationOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("As --coco, to measure on.", valueName: "path"))
    var valCoco: String?

    @Option(name: .long, help: ArgumentHelp("As --conversations, to measure on.", valueName: "file"))
    var valConversations: String?

    @Option(name: .long, help: ArgumentHelp("As --images, for --val-conversations.", valueName: "dir"))
    var valImages: String?

    @Option(name: .long, help: ArgumentHelp("As --text, to measure on.", valueName: "file"))
    var valText: String?

    @Option(name: .long, help: ArgumentHelp("Sequences that the loss is measured on.", valueName: "n"))
    var valSequences = 64

    @Option(name: .long, help: ArgumentHelp("Questions that are asked for samples.jsonl.", valueName: "n"))
    var valQuestions = 8

    func validate() throws {
        for (option, value) in [("--val-sequences", valSequences), ("--val-questions", valQuestions)] where value < 1 {
            throw ValidationError("\(option) \(value); expected at least 1")
        }
        if valImages != nil, valConversations == nil {
            throw ValidationError("--val-images goes with --val-conversations.")
        }
    }

    /// Nil where nothing is given.
    func made(seed: UInt64) throws -> TrainingJob.Validation? {
        guard valCoco != nil || valConversations != nil || valText != nil else { return nil }
        let layout = try valCoco.map { try COCOLayout(path: $0, split: .val) }
        return TrainingJob.Validation(
            data: DataSources(
                coco: layout, conversations: valConversations, images: valImages, text: valText,
                instructions: .init(seed: seed)),
            sequences: valSequences, questions: valQuestions)
    }
}

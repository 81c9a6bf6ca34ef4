import ArgumentParser
import CrayonKit

/// What a stage does where it is not what its preset says.
struct PlanOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "A plan in place of the preset: JSON, see Formats/training-run.md. Options change it.", valueName: "file"))
    var plan: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "What learns, separated by commas, each with a rate of its own if it shall have one: crayon, projectors, adapters:SET.",
            valueName: "part[=rate],…"))
    var learn: String?

    @Option(
        name: .long, help: ArgumentHelp("The low-rank set that learns; begun if it is not there.", valueName: "name"))
    var set: String?

    @Option(name: .long, help: ArgumentHelp("Rank of a set that is begun.", valueName: "n"))
    var rank: Int?

    @Option(name: .long, help: ArgumentHelp("Alpha of a set that is begun; its rank by default.", valueName: "n"))
    var alpha: Double?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "The sets that act, separated by commas; by default those that do in the bundle.",
            valueName: "set,…"))
    var active: String?

    @Option(name: .long, help: ArgumentHelp("Learning rate at its peak.", valueName: "n"))
    var rate: Double?

    @Option(name: .long, help: ArgumentHelp("Learning rate at the end.", valueName: "n"))
    var finalRate: Double?

    @Option(name: .long, help: ArgumentHelp("cosine, linear or constant.", valueName: "name"))
    var schedule: String?

    @Option(name: .long, help: ArgumentHelp("Updates of the warm-up.", valueName: "n"))
    var warmup: Int?

    @Option(name: .long, help: ArgumentHelp("Times to go through the data.", valueName: "n"))
    var epochs: Double?

    @Option(name: .long, help: ArgumentHelp("Updates, in place of epochs.", valueName: "n"))
    var updates: Int?

    @Option(name: .long, help: ArgumentHelp("Sequences of an update, over all batches and ranks.", valueName: "n"))
    var sequences: Int?

    @Option(name: .long, help: ArgumentHelp("Sequences that pass through the model at once.", valueName: "n"))
    var batchSize: Int?

    @Option(
        name: .long,
        help: ArgumentHelp("Leave out sequences of more positions, pictures included.", valueName: "n"))
    var maxLength: Int?

    @Option(name: .long, help: ArgumentHelp("adamw, or adamw8bit with 8-bit states.", valueName: "name"))
    var optimizer: String?

    @Option(name: .long, help: ArgumentHelp("Weight decay.", valueName: "n"))
    var weightDecay: Double?

    @Option(name: .long, help: ArgumentHelp("Clip the gradients' norm; 0 to leave it.", valueName: "norm"))
    var clip: Double?

    @Option(name: .long, help: ArgumentHelp("Share of a learning pair's inputs that become 0.", valueName: "n"))
    var dropout: Double?

    @Option(
        name: .long,
        help: ArgumentHelp("Keep the activations of all blocks (off), or of every n-th.", valueName: "off|n"))
    var checkpointing: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "What products with weights are computed in: int16 (fast; a relative error of about 1e-4) or float32. By default int16."
        ))
    var arithmetic: Arithmetic?

    @Option(name: .long, help: ArgumentHelp("The same seed gives the same bytes.", valueName: "n"))
    var seed: UInt64?

    @Option(name: .long, help: ArgumentHelp("Updates from one evaluation to the next.", valueName: "n"))
    var evaluateEvery: Int?

    @Option(name: .long, help: ArgumentHelp("Updates from one checkpoint to the next.", valueName: "n"))
    var checkpointEvery: Int?

    @Option(name: .long, help: ArgumentHelp("Checkpoints to keep.", valueName: "n"))
    var keep: Int?

    func validate() throws {
        if let checkpointing, TrainGradients.checkpointing(checkpointing) == nil {
            throw ValidationError("--checkpointing \(checkpointing); expected off or a positive number")
        }
        if epochs != nil, updates != nil { throw ValidationError("--epochs and --updates exclude each other.") }
        if let schedule, Schedule.Curve(rawValue: schedule) == nil {
            throw ValidationError("--schedule \(schedule); expected cosine, linear or constant")
        }
        if let optimizer, AdamWSettings.States(rawValue: optimizer) == nil {
            throw ValidationError("--optimizer \(optimizer); expected adamw or adamw8bit")
        }
        if let learn { _ = try Self.learnings(learn) }
    }

    /// The preset, or the plan of a file, with what the options change.
    func made(from preset: TrainingPlan.Preset?) throws -> TrainingPlan {
        var made: TrainingPlan
        if let plan {
            made = try TrainingPlan(file: plan)
        } else if let preset {
            made = TrainingPlan(preset)
        } else {
            made = TrainingPlan(stage: "custom", learns: [])
        }
        if let set {
            made.sets = [StageModel.FreshSet(name: set)]
            made.learns = made.learns.filter { !$0.part.hasPrefix("adapters") } + [.init("adapters:\(set)")]
        }
        if let learn { made.learns = try Self.learnings(learn) }
        for index in made.sets.indices {
            made.sets[index].rank = rank ?? made.sets[index].rank
            made.sets[index].alpha = alpha ?? rank.map(Double.init) ?? made.sets[index].alpha
        }
        if let active { made.activeSets = active.split(separator: ",").map(String.init) }
        if let rate {
            made.rate = rate
            made.finalRate = min(made.finalRate, rate)
        }
        made.finalRate = finalRate ?? made.finalRate
        made.schedule = schedule.flatMap(Schedule.Curve.init) ?? made.schedule
        if let warmup { made.warmup = .updates(warmup) }
        if let epochs { made.length = .epochs(epochs) }
        if let updates { made.length = .updates(updates) }
        made.sequences = sequences ?? made.sequences
        made.batchSize = batchSize ?? made.batchSize
        made.maxLength = maxLength ?? made.maxLength
        made.optimizer.states = optimizer.flatMap(AdamWSettings.States.init) ?? made.optimizer.states
        made.weightDecay = weightDecay ?? made.weightDecay
        if let clip { made.clipNorm = clip == 0 ? nil : clip }
        made.dropout = dropout ?? made.dropout
        switch checkpointing.flatMap(TrainGradients.checkpointing) {
        case .off?: made.recomputedBlocks = 0
        case .every(let count)?: made.recomputedBlocks = count
        case nil: break
        }
        made.arithmetic = arithmetic ?? made.arithmetic
        made.seed = seed ?? made.seed
        if let evaluateEvery { (made.evaluateEvery, made.sampleEvery) = (evaluateEvery, evaluateEvery) }
        made.checkpointEvery = checkpointEvery ?? made.checkpointEvery
        made.keptCheckpoints = keep ?? made.keptCheckpoints
        try made.validate(in: plan ?? "the options")
        return made
    }

    private static func learnings(_ text: String) throws -> [TrainingPlan.Learning] {
        try text.split(separator: ",").map { item in
            let halves = item.split(separator: "=", maxSplits: 1).map(String.init)
            _ = try LearnablePart(halves[0])
            guard halves.count == 2 else { return TrainingPlan.Learning(halves[0]) }
            guard let rate = Double(halves[1]), rate > 0, rate.isFinite else {
                throw ValidationError("--learn \(item); expected a rate above 0 behind '='")
            }
            return TrainingPlan.Learning(halves[0], rate: rate)
        }
    }
}

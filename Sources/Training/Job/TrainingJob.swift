import Adapters
import Architecture
public import BundleFormat
public import Bytes
public import Collectives
public import Datasets
import Evaluation
import Inference
import JSON
import Models
import Tokenization

/// One stage of training: a bundle, a plan and data in; a run's folder and a bundle out.
public struct TrainingJob {
    /// What the run is measured on every so often.
    public struct Validation: Sendable {
        public var data: DataSources
        /// Sequences that the loss is measured on.
        public var sequences: Int
        /// Questions that are asked for `samples.jsonl`.
        public var questions: Int

        public init(data: DataSources, sequences: Int = 64, questions: Int = 8) {
            self.data = data
            self.sequences = sequences
            self.questions = questions
        }
    }

    public let bundle: BundleReader
    public var plan: TrainingPlan
    public var data: DataSources
    public var validation: Validation?
    /// The bundle to write when all updates are done.
    public var output: String
    /// The run's folder; see `TrainingRun.folder`.
    public var folder: String
    public var resumes: Bool
    public var communicator: any Communicator

    public init(
        _ bundle: BundleReader, plan: TrainingPlan, data: DataSources, validation: Validation? = nil, output: String,
        folder: String, resumes: Bool = false, communicator: any Communicator = SingleProcess()
    ) {
        self.bundle = bundle
        self.plan = plan
        self.data = data
        self.validation = validation
        self.output = output
        self.folder = folder
        self.resumes = resumes
        self.communicator = communicator
    }

    /// Trains, and writes the bundle and, for each set that learned, a PEFT folder `adapters/NAME` in the run's.
    /// - Returns: how the run ended. One that was told to stop has written its checkpoint and no bundle.
    /// - Throws: `CrayonError` as `TrainingRun.run` does; for a part or set that the model lacks, data that cannot be read, and a
    ///   bundle that cannot be written.
    public func run(progress: (TrainingEvent) -> Void = { _ in }) throws(CrayonError) -> TrainingOutcome {
        let stage = try StageModel(bundle, sets: plan.sets, active: plan.activeSets, seed: plan.seed)
        var parts: [LearnablePart] = []
        for learning in plan.learns { parts.append(try LearnablePart(learning.part)) }
        let options = VisionLanguageModel.Options(usesCrayon: plan.usesCrayon, arithmetic: plan.arithmetic)
        let model = try TrainableModel(
            source: stage, learning: LearnablePart.roles(parts, of: stage, options: options), options: options)
        let tokenizer = try stage.tokenizer()
        let encoder = ExampleEncoder(
            builder: PromptBuilder(
                template: stage.configuration.prompt, tokens: stage.configuration.tokens, tokenizer: tokenizer),
            configuration: stage.configuration, maxLength: plan.maxLength)
        let mixture = try data.open(for: stage.configuration)
        var hooks = TrainingHooks()
        if communicator.rank == 0, let validation {
            hooks = try self.hooks(validation, model: model, encoder: encoder, tokenizer: tokenizer)
        }
        let run = TrainingRun(
            plan, updates: plan.updates(examplesPerEpoch: mixture.examplesPerEpoch), folder: folder, resumes: resumes,
            inputs: inputs(mixture), communicator: communicator)
        let log = communicator.rank == 0 ? SkippedLog(path: "\(folder)/skipped.log") : nil
        let gradients = ModelGradients(model, plan: plan)
        let outcome = try run.run(
            gradients,
            batches: { (position: DataPosition?) throws(CrayonError) in
                StreamedBatches(
                    try BatchStream(
                        mixture, encoder: encoder,
                        options: BatchOptions(
                            batchSize: plan.batchSize, sequencesPerStep: plan.sequences, seed: plan.seed,
                            rank: communicator.rank, ranks: communicator.size),
                        from: position),
                    skipped: { log?.append($0) })
            }, hooks: hooks, progress: progress)
        guard outcome.isFinished, communicator.rank == 0 else { return outcome }
        try TrainedBundle.write(stage, learned: model.learned, to: output, step: step(outcome, mixture))
        for set in stage.configuration.lowRankSets
        where model.learned.tensors.contains(where: { $0.role.rawValue.hasPrefix("adapters.\(set.name).") }) {
            try Folder.make("\(folder)/adapters")
            try PEFTFolder.write(
                TrainedBundle.adapter(set.name, of: stage, learned: model.learned),
                to: "\(folder)/adapters/\(set.name)", overwrites: true)
        }
        return outcome
    }

    /// The loss over the first sequences of the validation data, and answers to its first questions.
    private func hooks(
        _ validation: Validation, model: TrainableModel, encoder: ExampleEncoder, tokenizer: any Tokenizer
    ) throws(CrayonError) -> TrainingHooks {
        let mixture = try validation.data.open(for: model.model.configuration)
        let stream = try BatchStream(
            mixture, encoder: encoder,
            options: BatchOptions(batchSize: min(plan.batchSize, validation.sequences), windowSteps: 1, ahead: 0))
        var batches: [[TrainingSequence]] = []
        var examples: [Example] = []
        while batches.reduce(0, { $0 + $1.count }) < validation.sequences, batches.count < validation.sequences {
            let batch = try stream.next()
            batches.append(batch.sequences)
            examples += batch.examples.filter { !$0.exchanges.isEmpty }
        }
        let asked = Array(examples.prefix(validation.questions))
        let subject = ModelUnderTest(model.model, tokenizer: tokenizer)
        return TrainingHooks(
            evaluate: { _ throws(CrayonError) in
                var sum = LossSum()
                for batch in batches { sum += try model.loss(batch) }
                return JSONObject([
                    "loss": sum.mean.map(JSONValue.double) ?? .null, "targets": .int(sum.targets),
                ])
            },
            sample: { _ throws(CrayonError) in
                var samples: [JSONObject] = []
                _ = try InstructionScores(asking: asked, of: subject) { example, exchange, answer in
                    samples.append(
                        JSONObject([
                            "source": .string(example.source), "question": .string(exchange.question),
                            "expected": .string(exchange.answer), "answer": .string(answer),
                        ]))
                }
                return samples
            })
    }

    private func inputs(_ mixture: DataMixture) -> JSONObject {
        let sets = zip(mixture.datasets, mixture.shares).map { set, share in
            JSONValue.object(
                JSONObject([
                    "name": .string(Folder.lastPart(of: set.name)),
                    "examples": .int(set.count), "share": .double(share),
                ]))
        }
        return JSONObject(["bundle": .string(bundle.digest), "data": .array(sets)])
    }

    private func step(_ outcome: TrainingOutcome, _ mixture: DataMixture) -> BundleStep {
        let names = mixture.datasets.map { "\(Folder.lastPart(of: $0.name)) (\($0.count))" }
        return BundleStep(
            kind: "train", producer: Producer.name,
            options: [
                "stage": plan.stage, "learns": plan.learns.map(\.part).joined(separator: ", "),
                "updates": "\(outcome.updates)", "sequences": "\(plan.sequences)", "seed": "\(plan.seed)",
                "data": names.joined(separator: ", "), "plan": plan.digest.description,
            ])
    }
}

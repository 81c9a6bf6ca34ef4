public import ArgumentParser
public import CrayonKit
import Foundation

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask a bundle about pictures.",
        discussion: """
            A panoptic map in COCO's format (a PNG of segment ids and its JSON) tells the model what is where; without \
            one it is told that everything is unknown. Without a question, questions are read line by line from \
            standard input, each a turn of one conversation.

            Examples:
              crayon run model.crayon --image photo.jpg --panoptic photo.png \\
                --segments photo.json "What is in the box [0.1, 0.2, 0.5, 0.6]?"
              crayon run model.crayon --image left.png --image right.png "What differs?"
              crayon run model.crayon --questions questions.json
            """
    )

    @Argument(help: ArgumentHelp("A bundle, or a checkpoint folder to run at its own precision.", valueName: "model"))
    var model: String

    @Argument(help: ArgumentHelp("What to ask; from standard input when left out.", valueName: "question"))
    var question: String?

    @Option(name: .long, help: ArgumentHelp("A JPEG or PNG picture; repeat for more.", valueName: "file"))
    var image: [String] = []

    @Option(name: .long, help: ArgumentHelp("The panoptic PNG of the picture; one for each.", valueName: "file"))
    var panoptic: [String] = []

    @Option(name: .long, help: ArgumentHelp("The panoptic JSON of the picture; one for each.", valueName: "file"))
    var segments: [String] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            "A JSON file of questions, pictures and right answers: ask them all, print the share that is right.",
            valueName: "file"))
    var questions: String?

    @OptionGroup var atOnce: BatchOption
    @OptionGroup(title: "Generation") var generation: GenerationArguments
    @OptionGroup(title: "Model") var parts: RunParts
    @OptionGroup var common: CommonOptions

    @Flag(name: .long, help: "Print load time, the prompt's length, rates and memory.")
    var stats = false

    @Flag(name: .long, help: "With --questions: print every answer beside the right one.")
    var answers = false

    func validate() throws {
        guard panoptic.count == segments.count else {
            throw ValidationError("\(panoptic.count) --panoptic and \(segments.count) --segments; each map needs both.")
        }
        guard panoptic.isEmpty || panoptic.count == image.count else {
            throw ValidationError(
                "\(panoptic.count) panoptic maps for \(image.count) pictures; give one for each or none.")
        }
        if questions != nil, question != nil || !image.isEmpty {
            throw ValidationError("--questions brings its own questions and pictures.")
        }
        if questions == nil, atOnce.batch != 1 { throw ValidationError("--batch goes with --questions.") }
    }

    func run() throws {
        common.apply()
        let memory = stats ? MemoryWatch() : nil
        let start = ContinuousClock.now
        let source = try openModel(path: model)
        defer {
            if let peak = memory?.finish() {
                let whole = MemoryWatch.peakResidentBytes.map { ", \(Format.bytes($0)) with mapped files" } ?? ""
                Output.note("\(Format.bytes(peak)) of memory at most\(whole)")
            }
        }
        if let questions { return try answer(QuestionSet(path: questions), with: source) }

        var pictures: [Picture] = []
        for (index, path) in image.enumerated() {
            let map =
                panoptic.isEmpty
                ? nil : try PanopticMap(path: panoptic[index], segments: segments[index], picture: path)
            let picture = try Picture(RGBImage(path: path), panoptic: map, for: source.configuration)
            if !common.quiet { for warning in picture.warnings { Output.warn("\(path): \(warning)") } }
            pictures.append(picture)
        }
        let chat = try ChatSession(source: source, options: parts.options(.int16), template: try parts.promptTemplate())
        if stats { Output.note("model ready after \(Format.duration(tenths: ContinuousClock.now - start))") }
        if let question {
            try ask(question, pictures: pictures, chat, source)
        } else {
            while let line = readLine(strippingNewline: true) {
                if line.isEmpty { continue }
                try ask(line, pictures: pictures, chat, source)
                pictures = []
            }
        }
    }

    private func ask(_ question: String, pictures: [Picture], _ chat: ChatSession, _ source: any ModelSource) throws {
        let asked = Result {
            try chat.ask(question, pictures: pictures, options: generation.options) { piece in
                if !common.json { Output.print(piece, terminator: "") }
            }
        }
        // Weights are used where they lie in the file: an answer from others than those that were opened is none, and an error of
        // theirs is no error of the model's.
        try source.checkUnchanged()
        let answer = try asked.get()
        if common.json {
            Output.print(try Output.json(AnswerOutput(question: question, answer)))
        } else {
            Output.print("")
        }
        if stats {
            Output.note(StatisticsText.answer(answer.statistics))
            if generation.lookup > 0 { Output.note(StatisticsText.lookup(answer.statistics)) }
        }
    }

    private func answer(_ questions: QuestionSet, with source: any ModelSource) throws {
        let blank = questions.questions.count { $0.image != nil && $0.panoptic == nil }
        if blank > 0, source.configuration.crayon != nil, !common.quiet {
            Output.warn(
                "\(questions.path): no panoptic map with \(blank) of \(questions.questions.count) questions: "
                    + "there the model is told that every part of the picture is unknown")
        }
        let display = ProgressDisplay(quiet: common.quiet || common.json)
        let sheet = try AnswerSheet(
            asking: questions, of: source, options: parts.options(.int16), template: try parts.promptTemplate(),
            generation: generation.options, batch: atOnce.batch
        ) { _, done in
            display.update(label: "questions", done: done, total: questions.questions.count, unit: .items)
        }
        display.finish()
        if stats {
            Output.note(StatisticsText.answers(sheet.statistics))
            if generation.lookup > 0 { Output.note(StatisticsText.lookup(sheet.statistics)) }
        }
        if common.json { return Output.print(try Output.json(sheet)) }
        if answers || sheet.rates.isEmpty {
            for answer in sheet.answers {
                Output.print((answer.question.image.map { "\($0): " } ?? "") + answer.question.question)
                Output.print("  model: \(answer.answer)")
                if let right = answer.question.answer {
                    Output.print("  truth: \(right)\(answer.isRight == true ? "" : "   <- differs")")
                }
            }
        }
        if !sheet.rates.isEmpty {
            let rows = sheet.rates.map { [$0.kind, "\($0.right)", "\($0.asked)", Format.percent($0.share)] }
            Output.print(Format.table(["kind", "right", "asked", "share"], rows, rightAligned: [1, 2, 3]))
        }
    }
}

/// How answers are sampled.
struct GenerationArguments: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("Tokens of an answer at most.", valueName: "n"))
    var maxTokens = 512

    @Option(name: .long, help: ArgumentHelp("0 takes the likeliest token each time.", valueName: "t"))
    var temperature: Float = 0

    @Option(name: .long, help: ArgumentHelp("Sample among the k likeliest tokens.", valueName: "k"))
    var topK: Int?

    @Option(
        name: .long,
        help: ArgumentHelp("Sample among the likeliest tokens that share this probability.", valueName: "p"))
    var topP: Float?

    @Option(name: .long, help: ArgumentHelp("Above 1 makes what was said less likely.", valueName: "penalty"))
    var repetitionPenalty: Float = 1

    @Option(name: .long, help: ArgumentHelp("The same seed gives the same answer.", valueName: "n"))
    var seed: UInt64 = 0

    @Option(name: .long, help: ArgumentHelp("A text that ends an answer; repeat for more.", valueName: "text"))
    var stop: [String] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Look up to n tokens up in the prompt and the answer so far, and check them in one pass; at most "
                + "\(GenerationOptions.longestLookup).",
            discussion: "Saves passes where answers repeat what was said. Answers do not change.", valueName: "n"))
    var lookup = 0

    var options: GenerationOptions {
        GenerationOptions(
            sampling: SamplingOptions(
                temperature: temperature, topK: topK, topP: topP, repetitionPenalty: repetitionPenalty, seed: seed),
            maxNewTokens: maxTokens, stop: stop, lookup: lookup)
    }

    func validate() throws {
        guard maxTokens > 0 else { throw ValidationError("--max-tokens \(maxTokens); expected at least 1") }
        do {
            try options.validate()
        } catch {
            throw ValidationError(error.description)
        }
    }
}

/// What of a model takes part.
struct RunParts: ParsableArguments {
    @Option(
        name: .customLong("set"),
        help: ArgumentHelp(
            "A low-rank set that acts; repeat for more. By default those marked active.", valueName: "name"))
    var sets: [String] = []

    @Flag(name: .long, help: "Let no low-rank set act.")
    var noSets = false

    @Flag(name: .long, help: "Leave the crayon prompt out.")
    var noCrayon = false

    @Option(
        name: .long, help: ArgumentHelp("A built-in prompt template in place of the model's own.", valueName: "name"))
    var template: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "What products with weights are computed in: int16 (fast; a relative error of about 1e-4) or float32. By default int16 to answer, float32 to measure."
        ))
    var arithmetic: Arithmetic?

    @Option(
        name: .customLong("kv-cache"),
        help: ArgumentHelp(
            "How keys and values of what was read are kept: f32, f16 (half the memory) or int8 (a quarter).",
            valueName: "format"))
    var cacheFormat = KVCacheFormat.f32

    /// - Parameter usual: the arithmetic where none is chosen.
    func options(_ usual: Arithmetic) -> VisionLanguageModel.Options {
        .init(
            lowRankSets: noSets ? [] : sets.isEmpty ? nil : sets, usesCrayon: !noCrayon,
            arithmetic: arithmetic ?? usual, cacheFormat: cacheFormat)
    }

    func promptTemplate() throws -> PromptTemplate? { try PromptTemplate.named(template) }

    func validate() throws {
        if noSets, !sets.isEmpty { throw ValidationError("--no-sets and --set contradict each other.") }
    }
}

extension Arithmetic: ExpressibleByArgument {}

/// An answer as `--json` prints it.
private struct AnswerOutput: Encodable {
    var question: String
    var answer: String
    var tokens: [Int]
    var finishReason: String
    var promptPositions: Int
    var prefillPositionsPerSecond: Double
    var decodingTokensPerSecond: Double

    init(question: String, _ generation: Generation) {
        self.question = question
        answer = generation.text
        tokens = generation.tokens
        finishReason = generation.reason.rawValue
        promptPositions = generation.statistics.promptPositions
        prefillPositionsPerSecond = generation.statistics.prefillPositionsPerSecond
        decodingTokensPerSecond = generation.statistics.decodingTokensPerSecond
    }
}

extension KVCacheFormat: ExpressibleByArgument {}

import ArgumentParser
import CrayonKit

/// What both measures take.
struct EvalOptions: ParsableArguments {
    @Argument(help: ArgumentHelp("A bundle, or a checkpoint folder to run at its own precision.", valueName: "model"))
    var model: String

    @OptionGroup(title: "Data") var coco: COCOOptions

    @Option(name: .long, help: ArgumentHelp("Ask about so many pictures, drawn by --seed.", valueName: "n"))
    var limit: Int?

    @Option(name: .long, help: ArgumentHelp("Of absent classes and of pictures.", valueName: "n"))
    var seed: UInt64 = 0

    @OptionGroup var atOnce: BatchOption
    @OptionGroup(title: "Model") var parts: RunParts

    @Flag(name: .long, help: "Give no panoptic maps: every part of a picture is unknown.")
    var noMaps = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            "A second model to hold it against; with the options below alone, the same one.", valueName: "model"))
    var against: String?

    @Option(
        name: .customLong("against-set"),
        help: ArgumentHelp("A low-rank set that acts in the second; repeat for more.", valueName: "name"))
    var againstSets: [String] = []

    @Flag(name: .long, help: "Let no low-rank set act in the second.")
    var againstNoSets = false

    @Flag(name: .long, help: "Leave the crayon prompt out of the second.")
    var againstNoCrayon = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Ask for both measures, and draw B2C against C2B for each class: STEM.svg and STEM.png.", valueName: "stem")
    )
    var plot: String?

    @OptionGroup var common: CommonOptions

    func validate() throws {
        if coco.coco == nil { throw ValidationError("No data; give --coco.") }
        if let limit, limit < 1 { throw ValidationError("--limit \(limit); expected at least 1") }
        if againstNoSets, !againstSets.isEmpty {
            throw ValidationError("--against-no-sets and --against-set contradict each other.")
        }
    }

    private var hasSecond: Bool { against != nil || !againstSets.isEmpty || againstNoSets || againstNoCrayon }

    func run(_ measure: ObjectMeasure) throws {
        common.apply()
        guard let layout = try coco.layout(split: .val) else { return }
        let data = try COCOPanoptic(layout)
        let source = try openModel(path: model)
        let view = CrayonView(source.configuration) ?? CrayonView(categories: data.categories)
        let questions = try ObjectQuestions(
            data, view: view, measures: plot == nil ? [measure] : ObjectMeasure.allCases, seed: seed, limit: limit)
        var scores = [
            try ask(
                questions,
                ModelUnderTest(
                    source: source, options: parts.options(.float32), template: parts.promptTemplate(),
                    tellsMaps: parts.noCrayon || noMaps ? false : nil,
                    name: name(model, sets: parts.sets, noSets: parts.noSets, noCrayon: parts.noCrayon),
                    batch: atOnce.batch))
        ]
        if hasSecond {
            let path = against ?? model
            let options = VisionLanguageModel.Options(
                lowRankSets: againstNoSets ? [] : againstSets.isEmpty ? nil : againstSets, usesCrayon: !againstNoCrayon,
                arithmetic: parts.arithmetic ?? .float32, cacheFormat: parts.cacheFormat)
            scores.append(
                try ask(
                    questions,
                    ModelUnderTest(
                        source: openModel(path: path), options: options, template: parts.promptTemplate(),
                        tellsMaps: againstNoCrayon || noMaps ? false : nil,
                        name: name(path, sets: againstSets, noSets: againstNoSets, noCrayon: againstNoCrayon),
                        batch: atOnce.batch)))
        }
        if !common.quiet {
            for skipped in scores.first?.skipped ?? [] { Output.warn("left out: \(skipped)") }
        }
        if let plot {
            let chart = ObjectScores.chart(scores)
            try AtomicFile.write(chart.svg(), to: "\(plot).svg")
            try AtomicFile.write(chart.png(), to: "\(plot).png")
        }
        Output.print(
            common.json
                ? try Output.json(EvaluationOutput(measure, scores)) : EvaluationText.render(measure, scores))
    }

    private func ask(_ questions: ObjectQuestions, _ model: ModelUnderTest) throws -> ObjectScores {
        let display = ProgressDisplay(quiet: common.quiet || common.json)
        defer { display.finish() }
        return try questions.ask(model) { done in
            display.update(label: model.name, done: done, total: questions.indices.count, unit: .items)
        }
    }

    /// What a table calls a model: its file, and what was changed about it.
    private func name(_ path: String, sets: [String], noSets: Bool, noCrayon: Bool) -> String {
        let changes =
            (noCrayon ? ["no crayon"] : noMaps ? ["no maps"] : []) + (noSets ? ["no sets"] : [])
            + (sets.isEmpty ? [] : ["sets \(sets.joined(separator: ", "))"])
        let file = Folder.lastPart(of: path)
        return changes.isEmpty ? file : "\(file) (\(changes.joined(separator: "; ")))"
    }
}

import ArgumentParser
import CrayonKit

struct EvalInstructions: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "instructions",
        abstract:
            "How a model follows instructions: answers to the letter, and answers of the form that was asked for.",
        discussion: """
            Asks the questions of a data set, those of a conversation with the right answers before them. An answer is \
            exact when it is the data's to the letter, and follows the instruction when it ends of itself and has the form \
            of the data's: yes or no, a list of objects with boxes, or a text that is neither.

            Examples:
              crayon eval instructions model.crayon --coco coco --split val --count 200
              crayon eval instructions model.crayon --conversations llava.json --images DIR --json
            """
    )

    @Argument(help: ArgumentHelp("A bundle, or a checkpoint folder to run at its own precision.", valueName: "model"))
    var model: String

    @OptionGroup(title: "Data") var data: DataOptions

    @Option(name: .long, help: ArgumentHelp("Examples to ask, from the first.", valueName: "n"))
    var count = 100

    @Option(name: .long, help: ArgumentHelp("Tokens of an answer at most.", valueName: "n"))
    var maxTokens = 256

    @Option(name: .long, help: ArgumentHelp("Of what crayon instructions ask.", valueName: "n"))
    var seed: UInt64 = 0

    @Flag(name: .long, help: "Give no panoptic maps: every part of a picture is unknown.")
    var noMaps = false

    @OptionGroup var atOnce: BatchOption
    @OptionGroup(title: "Model") var parts: RunParts
    @OptionGroup var common: CommonOptions

    func validate() throws {
        for (option, value) in [("--count", count), ("--max-tokens", maxTokens)] where value < 1 {
            throw ValidationError("\(option) \(value); expected at least 1")
        }
    }

    func run() throws {
        common.apply()
        let source = try openModel(path: model)
        let mixture = try data.sources(seed: seed).open(for: source.configuration)
        let subject = try ModelUnderTest(
            source: source, options: parts.options(.float32), template: parts.promptTemplate(),
            tellsMaps: parts.noCrayon || noMaps ? false : nil, name: model, batch: atOnce.batch)
        var examples: [Example] = []
        for set in mixture.datasets {
            for index in 0..<min(count, set.count) { examples.append(try set.example(index, epoch: 0)) }
        }
        let display = ProgressDisplay(quiet: common.quiet || common.json)
        var asked = 0
        let questions = examples.reduce(0) { $0 + $1.exchanges.count }
        let scores = try InstructionScores(asking: examples, of: subject, maxNewTokens: maxTokens) { _, _, _ in
            asked += 1
            display.update(label: "questions", done: asked, total: questions, unit: .items)
        }
        display.finish()
        Output.print(
            common.json
                ? try Output.json(InstructionOutput(model: model, scores: scores))
                : InstructionText.render(scores))
    }
}

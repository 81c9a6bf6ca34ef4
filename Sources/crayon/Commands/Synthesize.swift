import ArgumentParser
import CrayonKit

struct Synthesize: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a checkpoint or a dataset to measure and to learn with.",
        discussion: """
            Examples:
              crayon synthesize model -o DIR
              crayon synthesize scenes --count 2000 -o DIR
            """,
        subcommands: [SynthesizeModel.self, SynthesizeScenes.self],
        defaultSubcommand: SynthesizeModel.self
    )
}

struct SynthesizeModel: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model",
        abstract: "Make a checkpoint of full size with random weights, to measure with.",
        discussion: """
            The published layout with the shapes of CoLLaVO-7B (18 GB in bfloat16), in shards of 5 GB; fewer layers make \
            it smaller. The answers of such a model are noise.

            Examples:
              crayon synthesize model -o DIR
              crayon synthesize model --layers 2 --vision-layers 2 -o DIR
            """
    )

    @Option(name: .shortAndLong, help: ArgumentHelp("The folder to write.", valueName: "dir"))
    var output: String

    @Option(name: .long, help: ArgumentHelp("Decoder layers.", valueName: "n"))
    var layers = 32

    @Option(name: .long, help: ArgumentHelp("Layers of the vision tower.", valueName: "n"))
    var visionLayers = 24

    @Option(name: .long, help: ArgumentHelp("Rows of the vocabulary.", valueName: "n"))
    var vocabulary = SyntheticCheckpoint.Shape.collavo7B.vocabularySize

    @Option(name: .long, help: ArgumentHelp("A SentencePiece model to put beside the weights.", valueName: "file"))
    var tokenizer: String?

    @Option(name: .long, help: ArgumentHelp("The same seed gives the same bytes.", valueName: "n"))
    var seed: UInt64 = 0

    @OptionGroup var common: CommonOptions

    func validate() throws {
        for (option, value) in [("--layers", layers), ("--vision-layers", visionLayers), ("--vocabulary", vocabulary)]
        where value < 1 {
            throw ValidationError("\(option) \(value); expected at least 1")
        }
    }

    func run() throws {
        common.apply()
        var shape = SyntheticCheckpoint.Shape.collavo7B
        shape.layerCount = layers
        shape.visionLayerCount = visionLayers
        shape.vocabularySize = vocabulary
        let checkpoint = try SyntheticCheckpoint(shape: shape, seed: seed)
        let display = ProgressDisplay(quiet: common.quiet)
        try checkpoint.write(to: output, tokenizer: tokenizer) { progress in
            display.update(label: progress.tensor, done: progress.doneBytes, total: progress.totalBytes)
        }
        display.finish()
        if !common.quiet {
            Output.print(
                "\(output): \(checkpoint.tensorCount) tensors, \(checkpoint.parameterCount / 1_000_000) M parameters, "
                    + Format.bytes(checkpoint.byteCount))
        }
    }
}

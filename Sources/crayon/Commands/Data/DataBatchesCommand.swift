import ArgumentParser
import CrayonKit
import Foundation

struct DataBatchesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "batches",
        abstract: "Write the sequences of the first updates, for another program to learn from.",
        discussion: """
            One safetensors file for each update, with token ids, labels, pictures and maps in the order in which a \
            training of the same seed and number of sequences takes them; Formats/probe.md has the names.

            Examples:
              crayon data batches model.crayon --coco coco --sequences 16 --updates 50 -o batches
            """
    )

    @Argument(help: ArgumentHelp("A bundle or a checkpoint folder.", valueName: "model"))
    var model: String

    @OptionGroup(title: "Data") var data: DataOptions

    @Option(name: .long, help: ArgumentHelp("Sequences of an update.", valueName: "n"))
    var sequences = 16

    @Option(name: .long, help: ArgumentHelp("Updates.", valueName: "n"))
    var updates = 10

    @Option(name: .long, help: ArgumentHelp("The same seed gives the same bytes.", valueName: "n"))
    var seed: UInt64 = 0

    @Option(name: .shortAndLong, help: ArgumentHelp("The folder to write.", valueName: "dir"))
    var output: String

    @OptionGroup var common: CommonOptions

    func validate() throws {
        for (option, value) in [("--sequences", sequences), ("--updates", updates)] where value < 1 {
            throw ValidationError("\(option) \(value); expected at least 1")
        }
    }

    func run() throws {
        common.apply()
        let source = try openModel(path: model)
        let encoder = ExampleEncoder(
            builder: PromptBuilder(
                template: source.configuration.prompt, tokens: source.configuration.tokens,
                tokenizer: try source.tokenizer()),
            configuration: source.configuration)
        let stream = try BatchStream(
            data.sources(seed: seed).open(for: source.configuration), encoder: encoder,
            options: BatchOptions(batchSize: sequences, seed: seed))
        try Folder.make(output)
        let display = ProgressDisplay(quiet: common.quiet)
        for update in 0..<updates {
            let batch = try stream.next()
            try BatchFile.write(batch.sequences, to: "\(output)/\(String(format: "%06d", update)).safetensors")
            display.update(label: "updates", done: update + 1, total: updates, unit: .items)
        }
        display.finish()
        if !common.quiet { Output.print("\(output): \(updates) updates of \(sequences) sequences") }
    }
}

import ArgumentParser
import CrayonKit

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what a bundle or a checkpoint holds.",
        discussion: """
            Examples:
              crayon inspect model.crayon
              crayon inspect model.crayon --tensors
              crayon inspect CHECKPOINT --json
            """
    )

    @Argument(help: ArgumentHelp("A bundle, a safetensors or GGUF file, or a checkpoint folder.", valueName: "model"))
    var model: String

    @Flag(name: .long, help: "List every tensor.")
    var tensors = false

    @Flag(name: .long, help: "Print the result as JSON.")
    var json = false

    func run() throws {
        let summary = try ModelSummary(path: model)
        Output.print(json ? try Output.json(summary) : SummaryText.render(summary, tensors: tensors))
    }
}

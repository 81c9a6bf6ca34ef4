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
              crayon inspect pytorch_model.bin --tensors --digests
            """
    )

    @Argument(
        help: ArgumentHelp(
            "A bundle, a file of safetensors, PyTorch, NumPy or GGUF, or a checkpoint folder.", valueName: "model"))
    var model: String

    @Flag(name: .long, help: "List every tensor.")
    var tensors = false

    @Flag(name: .long, help: "Read every tensor and add the SHA-256 of its elements to --tensors and --json.")
    var digests = false

    @Flag(name: .long, help: "Print the result as JSON.")
    var json = false

    func run() throws {
        let summary = try ModelSummary(path: model, digests: digests)
        Output.print(json ? try Output.json(summary) : SummaryText.render(summary, tensors: tensors))
    }
}

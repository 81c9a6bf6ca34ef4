import ArgumentParser
import CrayonKit

struct AdapterList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Show the low-rank sets of a bundle, a checkpoint or a PEFT folder.",
        discussion: """
            With --base, each is held against the base too: modules, widths and layers must be there.

            Examples:
              crayon adapter list model.crayon
              crayon adapter list DIR --base CHECKPOINT
              crayon adapter list model.crayon:vl --json
            """
    )

    @Argument(help: ArgumentHelp("A bundle, a checkpoint or a PEFT folder; ':NAME' for one set.", valueName: "adapter"))
    var adapter: String

    @Option(name: .long, help: ArgumentHelp("What the adapter is for: a checkpoint or a bundle.", valueName: "base"))
    var base: String?

    @Flag(name: .long, help: "Print the result as JSON.")
    var json = false

    func run() throws {
        let adapters = try openAdapters(adapter)
        if let base {
            let model = try openBase(path: base)
            for adapter in adapters { try adapter.check(against: model) }
        }
        let summaries = adapters.map(AdapterSummary.init)
        if json { return Output.print(try Output.json(summaries)) }
        Output.print(AdapterText.render(summaries))
        if let base { Output.print("\nFits \(base).") }
    }
}

import ArgumentParser
import CrayonKit

struct AdapterCompare: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Compare what two adapters add to each weight.",
        discussion: """
            Norms of both deltas, their cosine and the norm of their difference, by module and over all. No delta is \
            formed, so adapters of any size take little memory.

            Examples:
              crayon adapter compare DIR OTHER
              crayon adapter compare model.crayon:vl DIR --json
            """
    )

    @Argument(help: ArgumentHelp("One adapter.", valueName: "a"))
    var first: String

    @Argument(help: ArgumentHelp("Another.", valueName: "b"))
    var second: String

    @Flag(name: .long, help: "Print the result as JSON.")
    var json = false

    func run() throws {
        let comparison = try AdapterComparison(openAdapter(first), openAdapter(second))
        Output.print(json ? try Output.json(comparison) : AdapterText.render(comparison))
    }
}

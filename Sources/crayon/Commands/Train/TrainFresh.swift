import ArgumentParser
import CrayonKit

struct TrainFresh: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fresh",
        abstract: "Draw crayon queries and projectors anew and take the low-rank sets out.",
        discussion: """
            What a model is before its first stage. Without sets the crayon prompt is added to what attention reads, as in \
            the paper.

            Examples:
              crayon train fresh model.crayon -o fresh.crayon
              crayon train fresh model.crayon --keep projectors.image --seed 7 -o fresh.crayon
            """
    )

    @Argument(help: ArgumentHelp("A bundle.", valueName: "model"))
    var model: String

    @Option(
        name: .long,
        help: ArgumentHelp(
            "What stays, separated by commas: projectors.image, projectors, crayon, adapters:SET.",
            valueName: "part,…"))
    var keep: String?

    @Option(name: .long, help: ArgumentHelp("The same seed gives the same bytes.", valueName: "n"))
    var seed: UInt64 = 0

    @Option(name: .shortAndLong, help: ArgumentHelp("The bundle to write.", valueName: "file"))
    var output: String

    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let kept = try (keep ?? "").split(separator: ",").map { try LearnablePart(String($0)) }
        try FreshStart.write(BundleReader(path: model), keeping: kept, seed: seed, to: output)
        if !common.quiet { Output.print("\(output): crayon queries and projectors drawn anew") }
    }
}

public import ArgumentParser
public import CrayonKit

struct AdapterCombine: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "combine",
        abstract: "Make one adapter of several.",
        discussion: """
            Each adapter may have a weight, 1 by default. The methods are those of PEFT's add_weighted_adapter. cat is the \
            sum of what the adapters add, exactly; linear, ties, dare_linear, dare_ties and magnitude_prune combine the \
            halves of the pairs, which must have one rank; svd and those that end in _svd combine what the adapters add and \
            keep as much of it as --rank holds.

            Examples:
              crayon adapter combine A B=0.5 -o DIR
              crayon adapter combine A=1 B=-1 --method ties --density 0.3 -o DIR
            """
    )

    @Argument(help: ArgumentHelp("Adapters, each with '=WEIGHT' if it is not 1.", valueName: "adapter"))
    var adapters: [String]

    @Option(
        name: .long,
        help: ArgumentHelp(
            CombinationMethod.allCases.map(\.rawValue).joined(separator: ", ") + ".", valueName: "method"))
    var method = CombinationMethod.cat

    @Option(name: .long, help: ArgumentHelp("Share of the numbers that pruning keeps, 0 to 1.", valueName: "share"))
    var density: Double?

    @Option(name: .long, help: ArgumentHelp("How ties elects a sign: total or frequency.", valueName: "method"))
    var majoritySign = MajoritySign.total

    @Option(
        name: .long,
        help: ArgumentHelp("Rank of the result for the svd methods; by default the adapters' largest.", valueName: "n"))
    var rank: Int?

    @Option(name: .long, help: ArgumentHelp("Seed of the masks of dare.", valueName: "n"))
    var seed: UInt64 = 0

    @Option(name: .shortAndLong, help: ArgumentHelp("The PEFT folder to write.", valueName: "dir"))
    var output: String

    @Flag(name: .long, help: "Replace an adapter that is there.")
    var overwrite = false

    @Flag(name: .shortAndLong, help: "No progress and no summary.")
    var quiet = false

    func run() throws {
        let combined = try AdapterCombination.combine(
            adapters.map { try openWeightedAdapter($0) }, method: method,
            options: CombinationOptions(density: density, majoritySign: majoritySign, rank: rank, seed: seed))
        let display = ProgressDisplay(quiet: quiet)
        try PEFTFolder.write(combined, to: output, overwrites: overwrite) { tensor, done, total in
            display.update(label: tensor, done: done, total: total)
        }
        display.finish()
        if !quiet { Output.print("\(output): \(combined.modules.count) pairs by \(method.rawValue)") }
    }
}

extension CombinationMethod: ExpressibleByArgument {}
extension MajoritySign: ExpressibleByArgument {}

import ArgumentParser
import CrayonKit
import Foundation

struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Time a model: how fast it reads prompts and makes tokens.",
        discussion: """
            As llama-bench does: a prompt of random tokens on its own (pp512), and tokens one by one from an empty \
            sequence on (tg32), each after a run that does not count; mean and standard deviation over the repetitions. \
            The bandwidth of reading memory is measured before and after; its share is that of the weights' bytes which \
            every token must read.

            Examples:
              crayon bench model.crayon
              crayon bench model.crayon --prompt 1300 --generate 64 --threads 2 --json
            """
    )

    @Argument(help: ArgumentHelp("A bundle, or a checkpoint folder to run at its own precision.", valueName: "model"))
    var model: String

    @Option(name: .long, help: ArgumentHelp("Tokens of the prompt; 0 leaves it out.", valueName: "n"))
    var prompt = 512

    @Option(name: .long, help: ArgumentHelp("Tokens to make; 0 leaves it out.", valueName: "n"))
    var generate = 32

    @Option(name: .long, help: ArgumentHelp("Runs of each that count.", valueName: "n"))
    var repetitions = 5

    @Option(
        name: .long,
        help: "What products with weights are computed in: int16, in which crayon run computes, or float32.")
    var arithmetic = Arithmetic.int16

    @OptionGroup var common: CommonOptions

    func validate() throws {
        for (option, value, least) in [
            ("--prompt", prompt, 0), ("--generate", generate, 0), ("--repetitions", repetitions, 1),
        ] where value < least {
            throw ValidationError("\(option) \(value); expected at least \(least)")
        }
        guard prompt + generate > 0 else { throw ValidationError("--prompt 0 and --generate 0 leave nothing to time.") }
    }

    func run() throws {
        common.apply()
        let report = try GenerationReport.measure(
            model, options: .init(prompt: prompt, generate: generate, repetitions: repetitions, arithmetic: arithmetic))
        if common.json { return Output.print(try Output.json(report)) }
        Output.print(
            Format.table(
                ["model", "size", "params", "threads", "test", "t/s", "of bandwidth"],
                report.tests.map { test in
                    [
                        report.kind, Format.bytes(report.bytes),
                        String(format: "%.2f B", Double(report.parameters) / 1e9), "\(report.threads)", test.name,
                        String(format: "%.2f ± %.2f", test.tokensPerSecond, test.deviation),
                        test.shareOfBandwidth.map(Format.percent) ?? "",
                    ]
                }, rightAligned: [1, 2, 3, 5, 6]))
        guard generate > 0, !common.quiet else { return }
        Output.print(
            "\nA token reads \(Format.bytes(report.weightBytesPerToken)) of weights; "
                + "the machine reads \(Format.bytes(Int(report.readBandwidth)))/s (kernels \(report.kernels), \(report.arithmetic))."
        )
    }
}

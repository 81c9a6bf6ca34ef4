public import ArgumentParser
public import CrayonKit

struct AdapterInit: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Put new pairs into a bundle, ready for training.",
        discussion: """
            loftq and qpissa choose the pairs and the NF4 codes together, so that both come nearer to the weights than NF4 \
            alone; they need the weights from before quantization. gaussian is PEFT's default: pairs that change nothing yet.

            Examples:
              crayon adapter init model.crayon --method qpissa --rank 64 --source CHECKPOINT -o out.crayon
              crayon adapter init model.crayon --method loftq --rank 16 --iterations 1 --source CHECKPOINT -o out.crayon
              crayon adapter init model.crayon --method gaussian --rank 16 --modules 'wqkv|wo' -o out.crayon
              crayon adapter init model.crayon --method qpissa --rank 64 --source CHECKPOINT -o out.crayon --peft DIR

            --peft also writes the pairs as a PEFT folder, and in its folder 'base' the 4-bit checkpoint that they go with.
            """
    )

    @Argument(help: ArgumentHelp("The bundle.", valueName: "bundle"))
    var bundle: String

    @Option(name: .long, help: ArgumentHelp("loftq, qpissa or gaussian.", valueName: "method"))
    var method: StartOptions.Method

    @Option(name: .long, help: ArgumentHelp("Rank of each pair.", valueName: "n"))
    var rank = 64

    @Option(name: .long, help: ArgumentHelp("Turns of loftq and qpissa.", valueName: "n"))
    var iterations = 5

    @Option(
        name: .long,
        help: ArgumentHelp(
            "The checkpoint or bundle with the weights before quantization; by default the bundle, where it has them.",
            valueName: "path"))
    var source: String?

    @Option(name: .long, help: ArgumentHelp("Name of the set in the bundle.", valueName: "name"))
    var set = "start"

    @Option(
        name: .long,
        help: ArgumentHelp("Only modules whose path contains a match of this expression.", valueName: "regex"))
    var modules: String?

    @Option(name: .long, help: ArgumentHelp("Type of the factors: f32, bf16 or f16.", valueName: "type"))
    var type = AdapterConvert.NumberType.f32

    @Option(name: .long, help: ArgumentHelp("Seed.", valueName: "n"))
    var seed: UInt64 = 0

    @Option(name: .shortAndLong, help: ArgumentHelp("The bundle to write.", valueName: "bundle"))
    var output: String

    @Option(name: .long, help: ArgumentHelp("A folder for PEFT to write as well.", valueName: "dir"))
    var peft: String?

    @Flag(name: .long, help: "Go on with an interrupted run.")
    var resume = false

    @OptionGroup var common: CommonOptions

    func validate() throws {
        for (option, value) in [("--rank", rank), ("--iterations", iterations)] where value < 1 {
            throw ValidationError("\(option) \(value); expected at least 1")
        }
    }

    func run() throws {
        common.apply()
        var options = StartOptions(method: method, rank: rank)
        options.iterations = iterations
        options.type = type.element
        options.seed = seed
        options.set = set
        options.modules = modules
        let display = ProgressDisplay(quiet: common.quiet || common.json)
        let original = method.absorbsError ? try source.map { try openBase(path: $0) } : nil
        let report = try AdapterStart(BundleReader(path: bundle), source: original, options: options)
            .run(to: output, resumes: resume) { progress in
                display.update(label: progress.stage, done: progress.done, total: progress.total, unit: .items)
            }
        display.finish()
        if let peft { try writePEFT(to: peft) }
        if common.json { return Output.print(try Output.json(report)) }
        if !common.quiet { Output.print(Self.text(report, output: output)) }
    }

    /// The pairs, and beside them the checkpoint that they were made for.
    private func writePEFT(to folder: String) throws {
        let base = "\(folder)/base"
        let adapter = try openAdapter("\(output):\(set)")
        try PEFTFolder.write(adapter, to: folder, baseName: base)
        let export = ExportOptions(format: .bitsandbytes)
        let written = try Export(BundleReader(path: output), options: export).run(to: base)
        for warning in written.warnings { Output.warn(warning) }
    }

    private static func text(_ report: StartReport, output: String) -> String {
        guard !report.layers.isEmpty else { return "\(output): pairs that change nothing yet" }
        return Format.table(
            ["module", "rank", "|W - NF4| / |W|", "|W - (Q + BA)| / |W|", "ratio", "time"],
            report.layers.map { layer in
                [
                    layer.module, "\(layer.rank)", Format.error(layer.plainError), Format.error(layer.error),
                    Format.error(layer.ratio), Format.duration(tenths: .seconds(layer.seconds)),
                ]
            }, rightAligned: Set(1...5))
            + "\n\(output): the pairs leave \(Format.error(report.ratio)) of the error that NF4 alone makes"
    }
}

extension StartOptions.Method: ExpressibleByArgument {}

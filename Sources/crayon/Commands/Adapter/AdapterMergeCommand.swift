public import ArgumentParser
public import CrayonKit

struct AdapterMergeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "merge",
        abstract: "Merge adapters into the weights of a bundle or a checkpoint.",
        discussion: """
            A bundle gives a bundle, a checkpoint a checkpoint folder. 16-bit weights get PEFT's bits. Rounding to 4 bits \
            erases a small delta, so each weight's report says what share of it is retained:

              --source DIR       the 16-bit checkpoint is at hand: add there, quantize again (about 99 %)
              --rounding keep    from the 4-bit weights alone, on their own grid (95 % by default; --retention)
              --rounding plain   dequantize, add, quantize, bitsandbytes' bytes (1.5 % of a delta of 1 %)
              --rounding beside  keep the pairs beside the weights of a bundle, exact

            An ADAPTER is a PEFT folder, a set in a bundle (model.crayon:NAME, or :NAME for one of the base's own), or the \
            pairs in a checkpoint, each with '=WEIGHT' if it is not 1. Several become one first, by --method.

            Examples:
              crayon adapter merge model.crayon DIR -o merged.crayon
              crayon adapter merge model.crayon :vl -o merged.crayon --fail-below 0.9
              crayon adapter merge CHECKPOINT A=0.7 B=0.3 -o OUT --into bf16
            """
    )

    @Argument(help: ArgumentHelp("A bundle or a checkpoint, 16-bit or bitsandbytes 4-bit.", valueName: "base"))
    var base: String

    @Argument(help: ArgumentHelp("Adapters, each with '=WEIGHT' if it is not 1.", valueName: "adapter"))
    var adapters: [String]

    @Option(name: .shortAndLong, help: ArgumentHelp("The bundle or folder to write.", valueName: "path"))
    var output: String

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Type of merged weights: source (as the base has them), nf4, bf16, f16 or f32. A checkpoint is cast whole.",
            valueName: "type"))
    var into = MergeOptions.Target.source

    @Option(name: .long, help: ArgumentHelp("How 4-bit weights take a delta: keep, plain or beside.", valueName: "way"))
    var rounding = MergeOptions.Rounding.keep

    @Option(name: .long, help: ArgumentHelp("The share of each delta that 'keep' aims at.", valueName: "share"))
    var retention = KeepingRounder().retention

    @Option(
        name: .long,
        help: ArgumentHelp("The 16-bit checkpoint that a 4-bit base was made from.", valueName: "checkpoint"))
    var source: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "How several adapters become one: \(CombinationMethod.allCases.map(\.rawValue).joined(separator: ", ")).",
            valueName: "method"))
    var method = CombinationMethod.cat

    @Option(name: .long, help: ArgumentHelp("Share of the numbers that pruning keeps, 0 to 1.", valueName: "share"))
    var density: Double?

    @Option(name: .long, help: ArgumentHelp("Seed of the masks of dare.", valueName: "n"))
    var seed: UInt64 = 0

    @Option(
        name: .long, help: ArgumentHelp("Refuse when a weight retains less of its delta.", valueName: "share"))
    var failBelow: Double?

    @Flag(name: .long, help: "The base is what 'pissa' and its kin left of one: take such an adapter as it is.")
    var residualBase = false

    @Flag(name: .long, help: "Go on with an interrupted run; the bytes are those of a run without a break.")
    var resume = false

    @Flag(name: .long, help: "Replace a checkpoint that is in the folder.")
    var overwrite = false

    @Option(name: .long, help: ArgumentHelp("Bytes of a file of a checkpoint at most, in GB.", valueName: "n"))
    var shardSize = 5.0

    @OptionGroup var common: CommonOptions

    func validate() throws {
        guard !adapters.isEmpty else { throw ValidationError("Name at least one adapter.") }
        guard shardSize > 0, shardSize < 1e6 else {
            throw ValidationError("--shard-size \(shardSize); expected above 0")
        }
        if source != nil, rounding != .keep {
            throw ValidationError("--source needs no --rounding: the sum is quantized from 16 bits.")
        }
    }

    func run() throws {
        common.apply()
        let model = try openBase(path: base)
        var members: [(adapter: Adapter, weight: Double)] = []
        for name in adapters {
            members.append(
                try openWeightedAdapter(name.hasPrefix(":") ? base + name : name, baseIsResidual: residualBase))
        }
        let options = MergeOptions(
            into: into, rounding: rounding, retention: retention,
            source: try source.map { try openBase(path: $0) }, failBelow: failBelow, resumes: resume,
            overwrites: overwrite, shardLimit: max(1, Int(shardSize * 1e9)))
        let merge = try AdapterMerge(
            base: model, members: members, names: adapters, method: method,
            combination: CombinationOptions(density: density, seed: seed), options: options)
        let display = ProgressDisplay(quiet: common.quiet || common.json)
        let start = ContinuousClock.now
        let memory = MemoryWatch()
        let report = try merge.run(to: output) { progress in
            display.update(label: progress.tensor, done: progress.done, total: progress.total)
        }
        display.finish()
        if common.json { return Output.print(try Output.json(report)) }
        for warning in report.warnings { Output.warn(warning) }
        guard !common.quiet else { return }
        Output.print(MergeText.render(report))
        let peak = memory.finish().map { ", \(Format.bytes($0)) of memory at most" } ?? ""
        Output.print("\n\(output): in \(Format.duration(tenths: ContinuousClock.now - start))\(peak)")
    }
}

extension MergeOptions.Target: ExpressibleByArgument {}
extension MergeOptions.Rounding: ExpressibleByArgument {}

public import ArgumentParser
public import CrayonKit

struct AdapterExtract: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "extract",
        abstract: "Find the low-rank pairs that make a tuned model of its base, as a PEFT folder.",
        discussion: """
            Both may be checkpoints (16-bit, or 4-bit of bitsandbytes) or bundles, of different types and files, as long as \
            their tensors have the same names. What rounding to the stored types may have made is not taken for something \
            learned: singular values below that floor are left out.

            Examples:
              crayon adapter extract --base BASE --tuned TUNED -o DIR --rank 64
              crayon adapter extract --base BASE --tuned TUNED -o DIR --energy 0.99 --max-rank 256 --type bf16
              crayon adapter extract --base BASE --tuned TUNED -o DIR --sv-ratio 50 --biases --norms --embeddings whole
              crayon adapter extract --base BASE --tuned TUNED -o DIR --modules 'layers\\..*_proj' --resume

            Exit code 1: the two differ by rounding alone, or not at all, and nothing is written.
            """
    )

    @Option(name: .long, help: ArgumentHelp("The model that was tuned: a checkpoint or a bundle.", valueName: "path"))
    var base: String

    @Option(name: .long, help: ArgumentHelp("What it became: a checkpoint or a bundle.", valueName: "path"))
    var tuned: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The folder to write.", valueName: "dir"))
    var output: String

    @Option(name: .long, help: ArgumentHelp("Rank of each pair, at most; 64 by default.", valueName: "n"))
    var rank: Int?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "As many singular values as hold this share of the sum of their squares.", valueName: "share"))
    var energy: Double?

    @Option(name: .long, help: ArgumentHelp("Singular values above the largest divided by n.", valueName: "n"))
    var svRatio: Double?

    @Option(name: .long, help: ArgumentHelp("With --energy or --sv-ratio: no rank above this.", valueName: "n"))
    var maxRank: Int?

    @Option(name: .long, help: ArgumentHelp("Type of the factors: f32, bf16 or f16.", valueName: "type"))
    var type = AdapterConvert.NumberType.f32

    @Option(
        name: .long,
        help: ArgumentHelp("randomized, or full: LAPACK's, minutes for a large matrix.", valueName: "method"))
    var svd = ExtractionOptions.Method.randomized

    @Option(name: .long, help: ArgumentHelp("Seed of the randomized decomposition.", valueName: "n"))
    var seed: UInt64 = 0

    @Flag(name: .long, help: "Biases of linear layers too (lora_bias).")
    var biases = false

    @Flag(name: .long, help: "Norms too, whole (modules_to_save).")
    var norms = false

    @Option(name: .long, help: ArgumentHelp("Embeddings: none, pairs, or whole (modules_to_save).", valueName: "how"))
    var embeddings = ExtractionOptions.Embeddings.none

    @Option(
        name: .long,
        help: ArgumentHelp("Only modules whose path contains a match of this expression.", valueName: "regex"))
    var modules: String?

    @Option(
        name: .long,
        help: ArgumentHelp("What adapter_config.json names as the base; --base by default.", valueName: "name"))
    var baseName: String?

    @Flag(name: .long, help: "Go on with an interrupted run.")
    var resume = false

    @Flag(name: .long, help: "Replace an adapter that is in the folder.")
    var overwrite = false

    @OptionGroup var common: CommonOptions

    func validate() throws {
        let rules = [rank != nil, energy != nil, svRatio != nil].count { $0 }
        guard rules <= 1 else { throw ValidationError("--rank, --energy and --sv-ratio: expected one of them at most") }
        for (option, value) in [("--rank", rank), ("--max-rank", maxRank)] {
            if let value, value < 1 { throw ValidationError("\(option) \(value); expected at least 1") }
        }
        if let energy, !(energy > 0 && energy <= 1) {
            throw ValidationError("--energy \(energy); expected above 0 and at most 1")
        }
        if let svRatio, !(svRatio > 1) { throw ValidationError("--sv-ratio \(svRatio); expected above 1") }
        if maxRank != nil, energy == nil, svRatio == nil {
            throw ValidationError("--max-rank: expected --energy or --sv-ratio with it; --rank alone is a limit too")
        }
    }

    func run() throws {
        common.apply()
        let display = ProgressDisplay(quiet: common.quiet || common.json)
        let report = try Extraction(base: openBase(path: base), tuned: openBase(path: tuned), options: options)
            .run(to: output, resumes: resume, overwrites: overwrite) { progress in
                display.update(label: progress.module, done: progress.done, total: progress.total, unit: .items)
            }
        display.finish()
        if common.json {
            Output.print(try Output.json(report))
        } else if !common.quiet {
            Output.print(ExtractionText.render(report))
        }
        if !report.isWritten { throw ExitCode(1) }
    }

    private var options: ExtractionOptions {
        var options = ExtractionOptions()
        if let energy {
            options.target = .energy(energy)
        } else if let svRatio {
            options.target = .ratio(svRatio)
        } else {
            options.target = .count(rank ?? 64)
        }
        options.largestRank = maxRank
        options.type = type.element
        options.method = svd
        options.seed = seed
        options.biases = biases
        options.norms = norms
        options.embeddings = embeddings
        options.modules = modules
        options.baseName = baseName ?? base
        return options
    }
}

extension ExtractionOptions.Method: ExpressibleByArgument {}
extension ExtractionOptions.Embeddings: ExpressibleByArgument {}

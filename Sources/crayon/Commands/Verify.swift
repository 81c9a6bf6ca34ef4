import ArgumentParser
import CrayonKit

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Verify a bundle by running it.",
        discussion: """
            Checks structure, digests and numbers, then runs the probes that the bundle carries and those given. \
            A probe is a safetensors file with a question and its logits; Formats/probe.md specifies it.

            Examples:
              crayon verify model.crayon
              crayon verify model.crayon --probe probe.safetensors --tolerance 1e-4 --json
              crayon verify model.crayon --source CHECKPOINT

            Exit code 0: all held; 1: something did not; 2: could not run.
            """
    )

    @Argument(help: ArgumentHelp("A bundle, or a checkpoint folder to run as it is.", valueName: "bundle"))
    var bundle: String

    @Option(name: .long, help: ArgumentHelp("A probe to run; repeat for more.", valueName: "file"))
    var probe: [String] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Relative error of logits that is allowed.",
            discussion:
                "By default \(Verifier.defaultTolerance) for a probe file, and for a stored probe what the bundle "
                + "reached when it was made. A 4-bit model differs from a full-precision probe by more: say how much you allow.",
            valueName: "error"))
    var tolerance: Double?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "The checkpoint that the bundle was made from; its backbone, where --vision and so on are given.",
            valueName: "checkpoint"))
    var source: String?

    @Option(
        name: .long,
        help: "What products with weights are computed in: float32, or int16, in which crayon run computes.")
    var arithmetic = Arithmetic.float32

    @OptionGroup(title: "Source") var model: ModelOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if let tolerance, !(tolerance >= 0) { throw ValidationError("--tolerance \(tolerance); expected 0 or more") }
        if source == nil, model.hasParts { throw ValidationError("--vision, --crayon and --adapter go with --source.") }
    }

    func run() throws {
        common.apply()
        let display = ProgressDisplay(quiet: common.quiet || common.json)
        let original = try source.map { path in
            try model.open(checkpoint: model.hasParts ? nil : path, backbone: model.hasParts ? path : nil)
        }
        let options = Verifier.Options(
            probes: probe, tolerance: tolerance, source: original, arithmetic: arithmetic)
        let verifier = Verifier(options: options) { progress in
            display.update(
                label: progress.stage.rawValue, done: progress.done, total: progress.total,
                unit: progress.stage == .digests ? .bytes : .items)
        }
        let report = try verifier.run(path: bundle)
        display.finish()
        Output.print(common.json ? try Output.json(report) : VerificationText.render(report))
        if !report.passed { throw ExitCode(1) }
    }
}

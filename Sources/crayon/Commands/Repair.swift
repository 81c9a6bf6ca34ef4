import ArgumentParser
import CrayonKit

struct Repair: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Restore a damaged bundle, tensor by tensor.",
        discussion: """
            Tensors whose digests fail are taken from other copies, which may be damaged elsewhere, or made again from the \
            checkpoint that the bundle was made from. The result is the bundle as it was, proved by its digests, or \
            is not written. Formats/crayon-bundle.md says what can be restored.

            Examples:
              crayon repair model.crayon -o whole.crayon --from COPY
              crayon repair model.crayon -o whole.crayon --from-source CHECKPOINT
              crayon repair model.crayon -o model.crayon --from A --from B --from-source CHECKPOINT

            Exit code 0: all restored; 1: something stays lost; 2: could not run.
            """
    )

    @Argument(help: ArgumentHelp("The damaged bundle.", valueName: "bundle")) var bundle: String

    @Option(
        name: .shortAndLong, help: ArgumentHelp("The bundle to write; may be the damaged one.", valueName: "file"))
    var output: String

    @Option(name: .long, help: ArgumentHelp("Another copy of the bundle; repeat for more.", valueName: "copy"))
    var from: [String] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            "The checkpoint that the bundle was made from; its backbone, where --vision and so on are given.",
            valueName: "checkpoint"))
    var fromSource: String?

    @OptionGroup(title: "Source") var model: ModelOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if fromSource == nil, model.hasParts {
            throw ValidationError("--vision, --crayon and --adapter go with --from-source.")
        }
    }

    func run() throws {
        common.apply()
        let display = ProgressDisplay(quiet: common.quiet || common.json)
        let source = try fromSource.map { path in
            try model.open(checkpoint: model.hasParts ? nil : path, backbone: model.hasParts ? path : nil)
        }
        let report = try BundleRepair(copies: from, source: source).run(path: bundle, output: output) { progress in
            display.update(
                label: progress.stage.rawValue, done: progress.done, total: progress.total,
                unit: progress.stage == .restoring ? .items : .bytes)
        }
        display.finish()
        if common.json {
            Output.print(try Output.json(report))
        } else if !common.quiet || !report.passed {
            Output.print(Self.text(report))
        }
        if !report.passed { throw ExitCode(1) }
    }

    private static func text(_ report: BundleRepair.Report) -> String {
        var lines = report.restored.map { "restored: \($0.name) from \($0.from)" }
        lines += report.lost.map { "lost: \($0)" }
        if !report.passed {
            lines.append(
                "\(report.output) is not written: name a copy with --from, or the checkpoint with --from-source.")
        } else if report.restored.isEmpty {
            lines.append("\(report.output): nothing was damaged")
        } else {
            lines.append("\(report.output): whole, \(report.restored.count) restored")
        }
        return lines.joined(separator: "\n")
    }
}

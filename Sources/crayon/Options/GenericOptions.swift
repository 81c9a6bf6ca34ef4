import ArgumentParser
import CrayonKit

/// What `quantize --layout generic` takes.
struct GenericOptions: ParsableArguments {
    /// The name that `--layout` has for models that Crayon does not know.
    static let layout = "generic"

    @Option(
        name: .long, parsing: .upToNextOption,
        help: ArgumentHelp(
            "With --layout generic: modules to leave alone in place of the output heads, as llm_int8_skip_modules has them.",
            valueName: "name"))
    var skip: [String] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            "With --layout generic: type of all weights before: f32, f16 or bf16. Without it what config.json says.",
            valueName: "type"))
    var type: String?

    var isUsed: Bool { !skip.isEmpty || type != nil }

    func validate() throws {
        guard let type, !["f32", "f16", "bf16"].contains(type) else { return }
        throw ValidationError("--type \(type); expected f32, f16 or bf16")
    }

    /// Quantizes, and says what was done.
    func run(_ checkpoint: String, output: String, quantizer: NF4Quantizer, common: CommonOptions) throws {
        let options = GenericQuantization.Options(
            quantizer: quantizer, type: type.flatMap { ElementType(rawValue: $0.uppercased()) },
            skips: skip.isEmpty ? nil : skip)
        let display = ProgressDisplay(quiet: common.quiet || common.json)
        let report = try GenericQuantization(options: options).run(checkpoint, to: output) { progress in
            display.update(label: progress.tensor, done: progress.doneBytes, total: progress.totalBytes)
        }
        display.finish()
        if common.json { return Output.print(try Output.json(report)) }
        for warning in report.warnings { Output.warn(warning) }
        if !common.quiet { Output.print(Self.text(report)) }
    }

    private static func text(_ report: GenericReport) -> String {
        var lines = [
            "\(report.folder): \(Format.bytes(report.byteCount)) from \(Format.bytes(report.sourceBytes)) of weights; "
                + "\(report.quantized.count) linear layers in NF4"
        ]
        if !report.kept.isEmpty { lines.append("left alone:") }
        for kept in report.kept {
            let shown = kept.names.prefix(3).joined(separator: ", ")
            lines.append("  \(kept.names.count) \(kept.reason): \(shown)\(kept.names.count > 3 ? ", …" : "")")
        }
        return lines.joined(separator: "\n")
    }
}

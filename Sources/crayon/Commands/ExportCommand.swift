public import ArgumentParser
public import CrayonKit

struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a bundle as a checkpoint folder that others read.",
        discussion: """
            safetensors: weights that were not quantized come back byte for byte under their source names, the others \
            dequantized. bitsandbytes: a 4-bit checkpoint that transformers loads.

            Examples:
              crayon export model.crayon --format safetensors -o DIR
              crayon export model.crayon --format safetensors --type bf16 -o DIR
              crayon export model.crayon --format bitsandbytes -o DIR
            """
    )

    @Argument(help: ArgumentHelp("The bundle.", valueName: "bundle"))
    var bundle: String

    @Option(name: .long, help: ArgumentHelp("safetensors or bitsandbytes.", valueName: "format"))
    var format = ExportOptions.Format.safetensors

    @Option(
        name: .long, help: ArgumentHelp("Type of dequantized weights: source, f32, f16 or bf16.", valueName: "type"))
    var type = ExportOptions.DequantizedType.source

    @Option(name: .shortAndLong, help: ArgumentHelp("The folder to write.", valueName: "dir"))
    var output: String

    @Option(name: .long, help: ArgumentHelp("Bytes of a file at most, in GB.", valueName: "n"))
    var shardSize = 5.0

    @Flag(name: .long, help: "Replace model files that are in the folder.")
    var overwrite = false

    @OptionGroup var common: CommonOptions

    func validate() throws {
        guard shardSize > 0, shardSize < 1e6 else {
            throw ValidationError("--shard-size \(shardSize); expected above 0")
        }
    }

    func run() throws {
        common.apply()
        let display = ProgressDisplay(quiet: common.quiet || common.json)
        let options = ExportOptions(
            format: format, type: type, shardLimit: max(1, Int(shardSize * 1e9)), overwrites: overwrite)
        let report = try Export(BundleReader(path: bundle), options: options).run(to: output) { progress in
            display.update(label: progress.tensor, done: progress.doneBytes, total: progress.totalBytes)
        }
        display.finish()
        if common.json { return Output.print(try Output.json(report)) }
        for warning in report.warnings { Output.warn(warning) }
        if !common.quiet {
            Output.print("\(output): \(report.tensorCount) tensors, \(Format.bytes(report.byteCount))")
            for file in report.files { Output.print("  \(file)") }
        }
    }
}

extension ExportOptions.Format: ExpressibleByArgument {}
extension ExportOptions.DequantizedType: ExpressibleByArgument {}

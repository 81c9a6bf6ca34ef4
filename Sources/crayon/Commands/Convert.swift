public import ArgumentParser
public import CrayonKit
import Foundation

struct Convert: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write a checkpoint in another format.",
        discussion: """
            Reads safetensors, PyTorch's, NumPy's and GGUF files, folders and shards of them, bitsandbytes', GPTQ's and AWQ's \
            quantized weights, and bundles, told by their contents. Writes safetensors, PyTorch's files, NumPy's archives and \
            GGUF, told by --to or by the output's name; a name without an ending is a folder, which gets the small files \
            beside the weights, too. Bytes stay as they are unless --type says otherwise; quantized weights become numbers.

            Examples:
              crayon convert pytorch_model.bin -o model.safetensors
              crayon convert DIR-AWQ -o DIR --type bf16
              crayon convert DIR -o DIR2 --to pytorch
              crayon convert model.gguf -o DIR
            """
    )

    @Argument(help: ArgumentHelp("A file or folder of weights, or a bundle.", valueName: "model"))
    var model: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The file or folder to write.", valueName: "path"))
    var output: String

    @Option(name: .long, help: ArgumentHelp("safetensors, pytorch, npz or gguf.", valueName: "format"))
    var to: TensorConversion.Target?

    @Option(name: .long, help: ArgumentHelp("Type of the weights: source, f32, f16 or bf16.", valueName: "type"))
    var type = ExportOptions.DequantizedType.source

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Bytes of a folder's file at most, in GB: safetensors 5 unless given, PyTorch's and NumPy's in one file.",
            valueName: "n"))
    var shardSize: Double?

    @Flag(name: .long, help: "Replace files that are there.")
    var overwrite = false

    @OptionGroup var common: CommonOptions

    func validate() throws {
        guard let shardSize else { return }
        guard shardSize > 0, shardSize < 1e6 else {
            throw ValidationError("--shard-size \(shardSize); expected above 0")
        }
    }

    func run() throws {
        common.apply()
        let display = ProgressDisplay(quiet: common.quiet || common.json)
        let options = TensorConversion.Options(
            target: to, type: type, shardLimit: shardSize.map { max(1, Int($0 * 1e9)) },
            overwrites: overwrite)
        let report = try TensorConversion(options: options).run(model, to: output) { progress in
            display.update(label: progress.tensor, done: progress.doneBytes, total: progress.totalBytes)
        }
        display.finish()
        if common.json { return Output.print(try Output.json(report)) }
        for warning in report.warnings { Output.warn(warning) }
        guard !common.quiet else { return }
        Output.print("\(output): \(report.tensorCount) tensors, \(Format.bytes(report.byteCount))")
        for file in report.files { Output.print("  \(file)") }
    }
}

extension TensorConversion.Target: ExpressibleByArgument {}
extension ExportOptions.DequantizedType: ExpressibleByArgument {}

public import ArgumentParser
public import CrayonKit
import Foundation

struct ExportCommand: ParsableCommand {
    enum FileFormat: String, CaseIterable, ExpressibleByArgument {
        case safetensors
        case bitsandbytes
        case gguf
    }

    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a bundle as a checkpoint folder, or as a GGUF file, that others read.",
        discussion: """
            safetensors: weights that were not quantized come back byte for byte under their source names, the others \
            dequantized. bitsandbytes: a 4-bit checkpoint that transformers loads. gguf: one file for llama.cpp, of a \
            bundle or a checkpoint; --mmproj writes CLIP and the image projector in place of the decoder.

            Examples:
              crayon export model.crayon --format safetensors -o DIR
              crayon export model.crayon --format safetensors --type bf16 -o DIR
              crayon export model.crayon --format bitsandbytes -o DIR
              crayon export model.crayon --format gguf --type q4_k -o model.gguf
              crayon export model.crayon --format gguf --mmproj --without-crayon -o mmproj.gguf
            """
    )

    @Argument(help: ArgumentHelp("The bundle; with gguf a checkpoint will do.", valueName: "bundle"))
    var bundle: String

    @Option(name: .long, help: ArgumentHelp("safetensors, bitsandbytes or gguf.", valueName: "format"))
    var format = FileFormat.safetensors

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Type of dequantized weights: source, f32, f16 or bf16. Of a GGUF's matrices also q8_0, q6_k, q5_k, q5_1, q5_0, \
            q4_k, q4_1, q4_0 or iq4_nl.
            """, valueName: "type"))
    var type = "source"

    @Option(name: .shortAndLong, help: ArgumentHelp("The folder or GGUF file to write.", valueName: "path"))
    var output: String

    @Option(name: .long, help: ArgumentHelp("Bytes of a file at most, in GB; not for gguf.", valueName: "n"))
    var shardSize = 5.0

    @Flag(name: .long, help: "Write CLIP and the image projector, for llama.cpp's --mmproj.")
    var mmproj = false

    @Flag(name: .long, help: "With --mmproj: leave out the crayon prompt, which GGUF cannot say.")
    var withoutCrayon = false

    @Flag(name: .long, help: "Replace model files that are there.")
    var overwrite = false

    @OptionGroup var common: CommonOptions

    func validate() throws {
        guard shardSize > 0, shardSize < 1e6 else {
            throw ValidationError("--shard-size \(shardSize); expected above 0")
        }
        if format == .gguf {
            guard type == "source" || ggmlType != nil else {
                throw ValidationError("--type \(type); expected source or a type of GGUF's")
            }
        } else {
            guard ExportOptions.DequantizedType(rawValue: type) != nil else {
                throw ValidationError("--type \(type); expected source, f32, f16 or bf16")
            }
            guard !mmproj else { throw ValidationError("--mmproj; expected --format gguf with it") }
        }
        guard mmproj || !withoutCrayon else { throw ValidationError("--without-crayon; expected --mmproj with it") }
    }

    func run() throws {
        common.apply()
        let display = ProgressDisplay(quiet: common.quiet || common.json)
        let report = try export { progress in
            display.update(label: progress.tensor, done: progress.doneBytes, total: progress.totalBytes)
        }
        display.finish()
        if common.json { return Output.print(try Output.json(report)) }
        for warning in report.warnings { Output.warn(warning) }
        if !common.quiet {
            Output.print("\(output): \(report.tensorCount) tensors, \(Format.bytes(report.byteCount))")
            if format != .gguf { for file in report.files { Output.print("  \(file)") } }
        }
    }

    private func export(_ progress: @escaping @Sendable (ExportProgress) -> Void) throws -> ExportReport {
        switch format {
        case .gguf:
            guard overwrite || !FileManager.default.fileExists(atPath: output) else {
                throw CrayonError(
                    .usage, in: output, found: "a file that is already there", expected: "a new file",
                    advice: "Name another file, or give --overwrite.")
            }
            let options = GGUFExport.Options(
                part: mmproj ? .vision : .backbone, type: ggmlType, leavesCrayonOut: withoutCrayon)
            return try GGUFExport(openModel(path: bundle), options: options).run(to: output, progress: progress)
        case .safetensors, .bitsandbytes:
            let options = ExportOptions(
                format: format == .safetensors ? .safetensors : .bitsandbytes,
                type: ExportOptions.DequantizedType(rawValue: type) ?? .source,
                shardLimit: max(1, Int(shardSize * 1e9)), overwrites: overwrite)
            return try Export(BundleReader(path: bundle), options: options).run(to: output, progress: progress)
        }
    }

    /// The type that `--type` names, among those that matrices can be written in.
    private var ggmlType: GGMLType? {
        GGMLType.allCases.first { known in
            known.label.lowercased() == type && (known.isBlockFormat || [.f32, .f16, .bf16].contains(known))
        }
    }
}

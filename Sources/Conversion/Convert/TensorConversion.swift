import BundleFormat
public import Bytes
import Checkpoints
import Foundation
import JSON
import Kernels
import Quantization
import Tensors

/// Writes a checkpoint in another format: whatever is read, as safetensors, PyTorch's, NumPy's or GGUF. See `Formats/conversions.md`.
///
/// Tensors go through one after the other, the largest in memory only if it is quantized; files appear whole or not at all.
public struct TensorConversion: Sendable {
    /// What is written.
    public enum Target: String, CaseIterable, Sendable {
        case safetensors
        case pytorch
        case npz
        case gguf

        /// The one that a name calls for; nil for a folder's.
        public init?(name: String) {
            let endings: [(String, Target)] = [
                (".safetensors", .safetensors), (".bin", .pytorch), (".pth", .pytorch), (".pt", .pytorch),
                (".npz", .npz), (".gguf", .gguf),
            ]
            guard let found = endings.first(where: { name.hasSuffix($0.0) }) else { return nil }
            self = found.1
        }

        /// The file in a folder.
        var fileName: String { baseName + ending }

        /// What the names of files in a folder begin with, before the numbers of shards.
        var baseName: String { self == .pytorch ? "pytorch_model" : "model" }

        var ending: String {
            switch self {
            case .safetensors: ".safetensors"
            case .pytorch: ".bin"
            case .npz: ".npz"
            case .gguf: ".gguf"
            }
        }
    }

    public struct Options: Sendable {
        /// Nil for what the output's name calls for, or safetensors.
        public var target: Target?
        public var type: ExportOptions.DequantizedType
        /// Most bytes of tensors in a file of a folder; nil for 5 GB of safetensors, and one file of PyTorch's or NumPy's.
        public var shardLimit: Int?
        public var overwrites: Bool

        public init(
            target: Target? = nil, type: ExportOptions.DequantizedType = .source, shardLimit: Int? = nil,
            overwrites: Bool = false
        ) {
            self.target = target
            self.type = type
            self.shardLimit = shardLimit
            self.overwrites = overwrites
        }
    }

    public let options: Options

    public init(options: Options = Options()) { self.options = options }

    /// - Parameters:
    ///   - output: a file by its ending, or a folder.
    ///   - progress: gets the tensors as they are written.
    /// - Throws: `CrayonError` for what cannot be read, or the target cannot hold, and for an output that is there.
    public func run(
        _ input: String, to output: String, progress: (@Sendable (ExportProgress) -> Void)? = nil
    ) throws(CrayonError) -> ExportReport {
        guard !output.hasSuffix(".crayon") else {
            throw CrayonError(
                .usage, in: output, found: "a bundle's name", expected: "a file or folder of tensors",
                advice: "'crayon quantize' makes bundles.")
        }
        let named = Target(name: output)
        let target = options.target ?? named ?? .safetensors
        if target == .gguf { return try writeGGUF(input, to: output, isFile: named == .gguf, progress) }
        let source = try ConversionSource(input)
        let plan = try ConversionPlan(source, target: target, type: options.type)
        let place = try ConversionOutput(
            output, isFile: named == target, target: target, overwrites: options.overwrites)
        if !place.isFile { try place.check(plan.files.map(\.name)) }
        do throws(CrayonError) {
            let sink = try place.sink(plan.declarations, shardLimit: options.shardLimit)
            try write(plan, source.checkpoint, to: sink, progress)
            try source.checkpoint.checkUnchanged()
            if !place.isFile {
                for file in plan.files { try AtomicFile.write(file.region.array, to: "\(output)/\(file.name)") }
            }
            try sink.commit()
        } catch {
            place.removeIfEmpty()
            throw error
        }
        return ExportReport(
            folder: output, files: place.isFile ? [] : plan.files.map(\.name) + place.weightNames,
            tensorCount: plan.items.count, byteCount: plan.declarations.reduce(0) { $0 + $1.byteCount },
            warnings: plan.warnings)
    }

    /// Elements that one task works on, and tasks that are worked on before they are written.
    private static let runElements = 1 << 20
    private static let group = 8

    private func write(
        _ plan: ConversionPlan, _ checkpoint: any Checkpoint, to sink: any TensorSink,
        _ progress: (@Sendable (ExportProgress) -> Void)?
    ) throws(CrayonError) {
        let total = plan.declarations.reduce(0) { $0 + $1.byteCount }
        var done = 0
        for item in plan.items {
            let name = item.entry.name
            checkpoint.willNeed(name)
            guard let tensor = try checkpoint.tensor(name) else {
                throw CrayonError(.missing, in: checkpoint.place, item: "tensor '\(name)'", found: "nothing")
            }
            let run = WeightRun(tensor: tensor, type: item.type, place: checkpoint.file(of: name))
            let count = tensor.shape.count
            for start in stride(from: 0, to: count, by: Self.runElements * Self.group) {
                let length = min(Self.runElements * Self.group, count - start)
                let pieces = try Parallel.mapRanges(of: length, size: Self.runElements) { (range) throws(CrayonError) in
                    try run.elements(start + range.lowerBound..<start + range.upperBound)
                }
                var offset = start * item.type.byteCount
                for piece in pieces {
                    try withExtendedLifetime(piece) { () throws(CrayonError) in
                        try sink.append(piece.region.buffer, to: name, at: offset)
                    }
                    offset += piece.region.count
                    done += piece.region.count
                }
                progress?(ExportProgress(tensor: name, doneBytes: done, totalBytes: total))
            }
            checkpoint.dontNeed(name)
        }
    }

    private func writeGGUF(
        _ input: String, to output: String, isFile: Bool, _ progress: (@Sendable (ExportProgress) -> Void)?
    ) throws(CrayonError) -> ExportReport {
        guard isFile else {
            throw CrayonError(
                .usage, in: output, found: "a name without .gguf",
                expected: "the name of the GGUF file, which has everything in it")
        }
        guard options.overwrites || !FileManager.default.fileExists(atPath: output) else {
            throw ConversionOutput.isThere(output)
        }
        let model: any ModelSource
        do throws(CrayonError) {
            model = try openModel(path: input)
        } catch {
            throw CrayonError(
                error.code, in: error.place, item: error.item, found: error.found, expected: error.expected,
                advice:
                    "GGUF says what kind of model its tensors make up, so it is written of Llama, InternLM2 and Qwen2 "
                    + "decoders only. " + (error.advice ?? ""))
        }
        let type: GGMLType? =
            switch options.type {
            case .source: nil
            case .f32: .f32
            case .f16: .f16
            case .bf16: .bf16
            }
        return try GGUFExport(model, options: .init(type: type)).run(to: output, progress: progress)
    }
}

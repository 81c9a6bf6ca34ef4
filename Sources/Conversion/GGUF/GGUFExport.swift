public import Bytes
public import Checkpoints
import Kernels
public import Quantization
import Synchronization

/// Writes a model, or its vision tower and image projector, as a GGUF file for llama.cpp. See `Formats/gguf.md`.
///
/// The file appears under its name when all of it is written. Weights are read, brought into llama.cpp's order and quantized a run of
/// rows at a time, on all cores.
public struct GGUFExport: Sendable {
    public enum Part: Sendable, Hashable {
        /// The decoder and its tokenizer.
        case backbone
        /// CLIP and the image projector, for llama.cpp's `--mmproj`.
        case vision
    }

    public struct Options: Sendable {
        public var part: Part
        /// What matrices are written in; nil for the type that each has in the source.
        public var type: GGMLType?
        /// Whether the vision part is written although the model reads a crayon prompt, which GGUF cannot say.
        public var leavesCrayonOut: Bool

        public init(part: Part = .backbone, type: GGMLType? = nil, leavesCrayonOut: Bool = false) {
            self.part = part
            self.type = type
            self.leavesCrayonOut = leavesCrayonOut
        }
    }

    public let model: any ModelSource
    public let options: Options

    /// - Parameter model: a bundle, or an opened checkpoint.
    public init(_ model: any ModelSource, options: Options = Options()) {
        self.model = model
        self.options = options
    }

    /// - Parameter progress: called from several threads; it should be quick.
    /// - Throws: `CrayonError` for what GGUF cannot say, numbers that a type cannot hold, a damaged bundle, and when the file
    ///   cannot be written.
    public func run(
        to path: String, progress: (@Sendable (ExportProgress) -> Void)? = nil
    ) throws(CrayonError) -> ExportReport {
        let plan =
            switch options.part {
            case .backbone: try GGUFPlan(backbone: model, type: options.type)
            case .vision: try GGUFPlan(vision: model, options: options)
            }
        let origins = (model as? CheckpointModel)?.origins.flatMap { $0.checkpoint?.sourceFiles ?? [] } ?? []
        try AtomicFile.refuse(path, among: [model.place] + origins.map(\.path))
        let writer = try GGUFWriter(path: path, metadata: plan.metadata, tensors: plan.tensors.map(\.declaration))
        let total = plan.tensors.reduce(0) { $0 + $1.declaration.byteCount }
        let done = Atomic<Int>(0)
        for tensor in plan.tensors {
            try GGUFTensorStream(model: model, tensor: tensor, writer: writer).run { bytes in
                let now = done.add(bytes, ordering: .relaxed).newValue
                progress?(ExportProgress(tensor: tensor.name, doneBytes: now, totalBytes: total))
            }
        }
        try model.checkUnchanged()
        try writer.commit()
        return ExportReport(
            folder: Folder.of(path), files: [Folder.lastPart(of: path)], tensorCount: plan.tensors.count,
            byteCount: total, warnings: plan.warnings)
    }
}

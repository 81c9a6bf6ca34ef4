public import BundleFormat
public import Bytes
import Checkpoints
import Foundation
import Kernels
import Synchronization
import Tensors

/// Writes a bundle's weights and files as checkpoint folders that others read. See `Formats/exports.md`.
///
/// Everything goes to temporary files first, and comes into place when all of it is written: the parts'
/// folders before the main one, small files before weights, an index last.
public struct Export: Sendable {
    public let bundle: BundleReader
    public let options: ExportOptions

    public init(_ bundle: BundleReader, options: ExportOptions = ExportOptions()) {
        self.bundle = bundle
        self.options = options
    }

    /// Writes the folder, on all cores and with a few megabytes of memory for each.
    /// - Parameters:
    ///   - folder: created where it is not there.
    ///   - progress: called from several threads; it should be quick.
    /// - Throws: `CrayonError` when the bundle has nothing for the format, the folder holds files that would
    ///   be replaced and `overwrites` is not set, or a packed tensor is damaged.
    public func run(
        to folder: String, progress: (@Sendable (ExportProgress) -> Void)? = nil
    ) throws(CrayonError) -> ExportReport {
        let plan = try ExportPlan(bundle, options: options)
        let output = ExportOutput(folder: folder, overwrites: options.overwrites)
        do throws(CrayonError) {
            let files = try write(plan, to: output, progress: progress)
            return ExportReport(
                folder: folder, files: files, tensorCount: plan.folders.reduce(0) { $0 + $1.tensors.count },
                byteCount: plan.byteCount, warnings: plan.warnings)
        } catch {
            output.removeEmptyFolders()
            throw error
        }
    }

    /// - Returns: the paths of the files, relative to the folder.
    private func write(
        _ plan: ExportPlan, to output: ExportOutput, progress: (@Sendable (ExportProgress) -> Void)?
    ) throws(CrayonError) -> [String] {
        try output.prepare(plan)
        var writers: [ShardedSafetensorsWriter] = []
        for part in plan.folders {
            writers.append(
                try ShardedSafetensorsWriter(
                    folder: output.path(part.path), baseName: part.baseName,
                    declarations: part.tensors.map(\.declaration),
                    shardLimit: part.isSharded ? options.shardLimit : .max, overwrites: options.overwrites,
                    in: output.root))
        }
        let total = plan.byteCount
        let done = Atomic<Int>(0)
        for (part, writer) in zip(plan.folders, writers) {
            for tensor in part.tensors {
                try ExportStream(bundle: bundle, tensor: tensor, writer: writer).run { bytes in
                    let now = done.add(bytes, ordering: .relaxed).newValue
                    progress?(ExportProgress(tensor: tensor.name, doneBytes: now, totalBytes: total))
                }
            }
        }
        try bundle.checkUnchanged()
        for file in plan.files { try AtomicFile.write(file.bytes, to: output.path(file.name)) }
        // The main folder is the plan's first: a folder that has it is whole.
        for writer in writers.reversed() { try writer.commit() }
        let names = zip(plan.folders, writers).flatMap { part, writer in
            writer.paths.map { path in
                (part.path.isEmpty ? "" : part.path + "/") + Folder.lastPart(of: path)
            }
        }
        return plan.files.map(\.name) + names
    }
}

/// What to write, and how.
public struct ExportOptions: Sendable {
    public enum Format: String, CaseIterable, Sendable {
        /// Unquantized weights byte for byte, the others dequantized.
        case safetensors
        /// A 4-bit checkpoint that transformers loads.
        case bitsandbytes
    }

    /// What weights are dequantized to.
    public enum DequantizedType: String, CaseIterable, Sendable {
        /// The type that a weight had before.
        case source
        case f32
        case f16
        case bf16
    }

    public var format: Format
    public var type: DequantizedType
    /// Most bytes of tensors in one file.
    public var shardLimit: Int
    /// Whether files of an earlier export may be replaced.
    public var overwrites: Bool

    public init(
        format: Format = .safetensors, type: DequantizedType = .source, shardLimit: Int = 5_000_000_000,
        overwrites: Bool = false
    ) {
        self.format = format
        self.type = type
        self.shardLimit = shardLimit
        self.overwrites = overwrites
    }
}

/// What is being written, and how far it is.
public struct ExportProgress: Sendable {
    public let tensor: String
    public let doneBytes: Int
    public let totalBytes: Int
}

/// What was written.
public struct ExportReport: Codable, Equatable, Sendable {
    public let folder: String
    /// Relative to the folder.
    public let files: [String]
    public let tensorCount: Int
    /// Bytes of all tensors.
    public let byteCount: Int
    public let warnings: [String]
}

import Bytes
import Checkpoints
import Foundation

/// The file or folder that converted tensors go to.
final class ConversionOutput {
    let isFile: Bool
    private let path: String
    private let target: TensorConversion.Target
    private let overwrites: Bool
    private let wasThere: Bool
    /// From `sink` on, for a folder.
    private var folder: OutputFolder?
    /// The files with tensors, in a folder.
    private(set) var weightNames: [String] = []
    /// Files of an earlier checkpoint of the same format.
    private let earlier: [String]

    /// - Throws: `CrayonError` for a file that is there and may not be replaced, and for a folder with weights of another format.
    init(_ path: String, isFile: Bool, target: TensorConversion.Target, overwrites: Bool) throws(CrayonError) {
        var isFolder: ObjCBool = false
        wasThere = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
        self.isFile = isFile && !(wasThere && isFolder.boolValue)
        self.path = path
        self.target = target
        self.overwrites = overwrites
        if self.isFile {
            earlier = []
            guard overwrites || !wasThere else { throw Self.isThere(path) }
            return
        }
        guard !wasThere || isFolder.boolValue else {
            throw CrayonError(
                .usage, in: path, found: "a file", expected: "a folder, or a name that ends as the format's do",
                advice: "Name another folder.")
        }
        let present = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        let own = present.filter { ShardPlan.names($0, baseName: target.baseName, ending: target.ending) }
        earlier = own.sorted()
        let others = present.filter { name in
            TensorConversion.Target(name: name).map { $0 != target || $0 == .npz || $0 == .gguf } == true
                && !own.contains(name)
        }
        guard others.isEmpty else {
            throw CrayonError(
                .usage, in: path,
                found: "a folder with other weights: \(others.sorted().prefix(4).joined(separator: ", "))",
                expected: "a new or empty folder", advice: "Name another folder, or remove those files.")
        }
    }

    /// - Throws: `CrayonError` for a small file that is there and may not be replaced.
    func check(_ names: [String]) throws(CrayonError) {
        for name in names + earlier where !overwrites {
            let file = "\(path)/\(name)"
            if FileManager.default.fileExists(atPath: file) { throw Self.isThere(file) }
        }
    }

    func sink(
        _ declarations: [SafetensorsWriter.Declaration], shardLimit: Int?
    ) throws(CrayonError) -> any TensorSink {
        if isFile { return try writer(path, declarations) }
        let folder = try OutputFolder(path)
        self.folder = folder
        guard target == .safetensors else {
            let archives = try ShardedArchives(
                folder: path, target: target, declarations: declarations, limit: shardLimit, replaced: earlier
            ) { (file, declarations) throws(CrayonError) in try self.writer(file, declarations) }
            weightNames = archives.names
            return archives
        }
        let writer = try ShardedSafetensorsWriter(
            folder: path, declarations: declarations, shardLimit: shardLimit ?? 5_000_000_000, overwrites: overwrites,
            in: folder)
        weightNames = writer.paths.map { Folder.lastPart(of: $0) }
        return writer
    }

    private func writer(
        _ file: String, _ declarations: [SafetensorsWriter.Declaration]
    ) throws(CrayonError) -> any TensorSink {
        switch target {
        case .safetensors: try SafetensorsWriter(path: file, declarations: declarations)
        case .pytorch: try PyTorchWriter(path: file, declarations: declarations)
        case .npz: try NumPyWriter(path: file, declarations: declarations)
        case .gguf: preconditionFailure("GGUF has a writer of its own")
        }
    }

    /// Takes the folder away again if it was made here and nothing has come into it.
    func removeIfEmpty() { folder?.removeIfEmpty() }

    static func isThere(_ path: String) -> CrayonError {
        CrayonError(
            .usage, in: path, found: "a file that is already there", expected: "a new file",
            advice: "Name another, or give --overwrite.")
    }
}

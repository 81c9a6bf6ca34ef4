public import Bytes

/// Opens a file with tensors, told by its contents (safetensors, PyTorch, NumPy, GGUF), a folder with one, or a folder of shards with
/// their index.
/// - Throws: `CrayonError` for a path with none of them, and for what the readers refuse.
public func openCheckpoint(_ path: String) throws(CrayonError) -> any Checkpoint {
    guard FolderFiles.isFolder(path) else { return try CheckpointFormat.open(path) }
    return try openCheckpoint(folder: FolderFiles(path: path))
}

/// Opens a file that may be safetensors; nil for one that is of another format by its first bytes, and is not looked at further.
/// - Throws: `CrayonError` for a file that is neither.
public func openSafetensors(_ path: String) throws(CrayonError) -> SafetensorsFile? {
    let file = try MappedFile(path: path)
    return CheckpointFormat.of(file) == nil ? try SafetensorsFile(mapping: file) : nil
}

/// The files to look for in a folder, by what the folder is.
struct CheckpointNames {
    let safetensors: String
    let pytorch: String

    static let model = CheckpointNames(safetensors: "model.safetensors", pytorch: "pytorch_model.bin")
    static let adapter = CheckpointNames(
        safetensors: PEFTFiles.weightsName, pytorch: PEFTFiles.pickledWeightsName)
}

/// Safetensors are preferred: index, file of the usual name, only file; then PyTorch's in the same order, and any other.
func openCheckpoint(
    folder: FolderFiles, names: CheckpointNames = .model
) throws(CrayonError) -> any Checkpoint {
    if try folder.path(of: ShardedFolder.safetensorsIndex) != nil {
        return try ShardedFolder(folder: folder, indexName: ShardedFolder.safetensorsIndex) {
            path throws(CrayonError) in
            try SafetensorsFile(path: path)
        }
    }
    if let file = try folder.path(of: names.safetensors) { return try CheckpointFormat.open(file) }
    let safetensors = folder.names(endingIn: ".safetensors")
    if let file = try only(safetensors, "safetensors files", names.safetensors, ShardedFolder.safetensorsIndex, folder)
    {
        return try CheckpointFormat.open(file)
    }
    if try folder.path(of: ShardedFolder.pytorchIndex) != nil {
        return try ShardedFolder(folder: folder, indexName: ShardedFolder.pytorchIndex) { path throws(CrayonError) in
            try CheckpointFormat.open(path)
        }
    }
    if let file = try folder.path(of: names.pytorch) { return try CheckpointFormat.open(file) }
    if try folder.path(of: ShardedFolder.numpyIndex) != nil {
        return try ShardedFolder(folder: folder, indexName: ShardedFolder.numpyIndex) { path throws(CrayonError) in
            try CheckpointFormat.open(path)
        }
    }
    let others = [".bin", ".pth", ".pt", ".ckpt", ".npz", ".npy"].flatMap { folder.names(endingIn: $0) }
        .filter { !isCompanion($0) }
    if let file = try only(others, "files of PyTorch or NumPy", names.pytorch, ShardedFolder.pytorchIndex, folder) {
        return try CheckpointFormat.open(file)
    }
    let ggufs = folder.names(endingIn: ".gguf")
    if let name = GGUFSplit.first(among: ggufs), let file = try folder.path(of: name) {
        return try CheckpointFormat.open(file)
    }
    if let file = try only(ggufs, "GGUF files", "GGUF file", "the path of one", folder) {
        return try CheckpointFormat.open(file)
    }
    throw CrayonError(
        .missing, in: folder.path, found: "no file with tensors",
        expected: "\(names.safetensors), \(names.pytorch), or shards with their index", advice: "Check the path.")
}

/// The path of the only file; nil where there is none.
/// - Throws: `CrayonError` where there are several.
private func only(
    _ files: [String], _ what: String, _ name: String, _ index: String, _ folder: FolderFiles
) throws(CrayonError) -> String? {
    guard files.count > 1 else {
        return try files.first.flatMap { file throws(CrayonError) in try folder.path(of: file) }
    }
    throw CrayonError(
        .missing, in: folder.path, found: "\(files.count) \(what) without an index: \(ShardedFolder.list(files))",
        expected: "\(index), or one \(name)", advice: "Download the index too, or name one of the files.")
}

/// What training programs leave beside a model.
private func isCompanion(_ name: String) -> Bool {
    ["training_args", "optimizer", "scheduler", "scaler", "rng_state", "random_states"].contains { name.hasPrefix($0) }
}

public import Bytes

/// Opens a safetensors or GGUF file, a folder with a safetensors file, or a folder of shards with their index.
/// - Throws: `CrayonError` for a path with none of them, and for what the readers refuse.
public func openCheckpoint(_ path: String) throws(CrayonError) -> any Checkpoint {
    guard FolderFiles.isFolder(path) else {
        let mapping = try MappedFile(path: path)
        if GGUFFile.isGGUF(mapping) { return try GGUFFile(mapping: mapping) }
        return try SafetensorsFile(mapping: mapping)
    }
    return try openCheckpoint(folder: FolderFiles(path: path))
}

/// - Parameter name: the file to take where there is no index.
func openCheckpoint(
    folder: FolderFiles, name: String = "model.safetensors"
) throws(CrayonError) -> any Checkpoint {
    if try folder.path(of: SafetensorsFolder.indexName) != nil { return try SafetensorsFolder(folder: folder) }
    if let file = try folder.path(of: name) { return try SafetensorsFile(path: file) }
    let others = folder.names(endingIn: ".safetensors")
    if others.count == 1, let file = try folder.path(of: others[0]) { return try SafetensorsFile(path: file) }
    if others.count > 1 {
        throw CrayonError(
            .missing, in: folder.path,
            found: "\(others.count) safetensors files without an index: \(SafetensorsFolder.list(others))",
            expected: "\(SafetensorsFolder.indexName), or one \(name)",
            advice: "Download the index too, or name one of the files.")
    }
    let pickles = folder.names(endingIn: ".bin") + folder.names(endingIn: ".pth")
    throw CrayonError(
        .missing, in: folder.path,
        found: pickles.isEmpty
            ? "no safetensors file" : "no safetensors file, only PyTorch files: \(SafetensorsFolder.list(pickles))",
        expected: "\(name), or \(SafetensorsFolder.indexName) and its shards",
        advice: pickles.isEmpty
            ? "Check the path." : "Save the model with safetensors first (save_pretrained does by default).")
}

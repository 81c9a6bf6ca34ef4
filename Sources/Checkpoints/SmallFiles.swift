public import Bytes

/// The files beside a checkpoint's tensors that a copy of it needs: configuration, tokenizer, model card, code.
///
/// - Parameter path: the checkpoint as the user named it; of a single file, `config.json` and the tokenizer beside it may belong
///   to something else, so there are none.
/// - Throws: `CrayonError` for links that lead out of the folder.
public func smallFiles(beside path: String) throws(CrayonError) -> [AuxiliaryFile] {
    guard FolderFiles.isFolder(path) else { return [] }
    let folder = try FolderFiles(path: path)
    let weights = [
        ".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth", ".ckpt", ".npy", ".npz",
        ".gguf", ".h5",
        ".msgpack", ".onnx",
    ]
    /// A tokenizer has a few megabytes; more is weights of some kind.
    let limit = 64 << 20
    var files: [AuxiliaryFile] = []
    for name in folder.names(endingIn: "") where !weights.contains(where: { name.hasSuffix($0) }) {
        guard let file = try folder.path(of: name), !FolderFiles.isFolder(file) else { continue }
        let mapped = try MappedFile(path: file)
        if mapped.count <= limit { files.append(AuxiliaryFile(name: name, region: mapped.whole)) }
    }
    return files
}

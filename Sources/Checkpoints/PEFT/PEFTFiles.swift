public import Bytes

/// The files of a PEFT folder, opened, before their tensors are looked at.
public struct PEFTFiles: Sendable {
    /// As the user named it.
    public let place: String
    public let configuration: PEFTConfiguration
    public let configurationFile: MappedFile
    public let checkpoint: any Checkpoint
    /// The model card that PEFT writes beside an adapter; nil where there is none.
    public let modelCard: MappedFile?

    public static let weightsName = "adapter_model.safetensors"
    /// What PEFT wrote before, and `safe_serialization=False` writes.
    static let pickledWeightsName = "adapter_model.bin"
    public static let modelCardName = "README.md"

    /// - Parameter path: the folder, or its file of tensors.
    /// - Throws: `CrayonError` when a file is missing or does not follow its format.
    public init(path: String) throws(CrayonError) {
        place = path
        let isFolder = FolderFiles.isFolder(path)
        let folder = isFolder ? try FolderFiles(path: path) : try FolderFiles(containing: path)
        guard let configurationPath = try folder.path(of: PEFTConfiguration.fileName) else {
            throw CrayonError(
                .missing, in: path, item: PEFTConfiguration.fileName, found: "nothing",
                expected: isFolder ? "a PEFT LoRA folder" : "the file beside the tensors, as in a PEFT LoRA folder",
                advice: "Say which rank, alpha and modules the tensors are of: without it they cannot be told.")
        }
        configurationFile = try MappedFile(path: configurationPath)
        configuration = try PEFTConfiguration(file: configurationPath)
        checkpoint =
            isFolder ? try openCheckpoint(folder: folder, names: .adapter) : try openCheckpoint(path)
        modelCard = try folder.open(Self.modelCardName)
    }

    /// Whether the path is that of a PEFT folder, or of the tensors in one.
    public static func isPEFT(_ path: String) -> Bool {
        if FolderFiles.isFolder(path) { return FolderFiles.isFile("\(path)/\(PEFTConfiguration.fileName)") }
        let parts = path.split(separator: "/", omittingEmptySubsequences: true)
        guard let name = parts.last.map(String.init), name == weightsName || name == pickledWeightsName,
            FolderFiles.isFile(path)
        else { return false }
        return FolderFiles.isFile(path.dropLast(name.count) + PEFTConfiguration.fileName)
    }
}

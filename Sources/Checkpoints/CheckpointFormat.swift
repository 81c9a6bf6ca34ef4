import Bytes

/// A kind of file with tensors, told by its first bytes whatever its name.
struct CheckpointFormat: Sendable {
    let begins: @Sendable (UnsafeRawBufferPointer) -> Bool
    let open: @Sendable (MappedFile) throws(CrayonError) -> any Checkpoint

    /// Every kind but safetensors, which begins with a number and so is what is left.
    static let all: [CheckpointFormat] = [
        CheckpointFormat(
            begins: { GGUFFile.begins($0) }, open: { file throws(CrayonError) in try GGUFFile(mapping: file) }),
        CheckpointFormat(
            begins: { $0.starts(with: [0x50, 0x4B, 0x03, 0x04]) || $0.starts(with: [0x50, 0x4B, 0x05, 0x06]) },
            open: { file throws(CrayonError) in try openArchive(file) }),
        CheckpointFormat(
            begins: { TorchStream.begins($0) },
            open: { file throws(CrayonError) in try PyTorchFile(mapping: file) }),
        CheckpointFormat(
            begins: { NumPyHeader.begins($0) },
            open: { file throws(CrayonError) in try NumPyFile(array: file) }),
        CheckpointFormat(
            begins: { isOtherPickle($0) },
            open: { file throws(CrayonError) in
                throw CrayonError(
                    .unsupported, in: file.path, found: "a pickle that torch.save did not write",
                    expected: "tensors in a file of torch.save, NumPy or safetensors",
                    advice: "If you trust it, load it in Python and save its tensors with safetensors.")
            }),
    ]

    /// Nil for what may be safetensors.
    static func of(_ file: MappedFile) -> CheckpointFormat? {
        let bytes = file.whole.buffer
        return all.first { $0.begins(bytes) }
    }

    /// - Throws: `CrayonError` for a file that follows none of the formats.
    static func open(_ path: String) throws(CrayonError) -> any Checkpoint {
        let file = try MappedFile(path: path)
        guard let format = of(file) else { return try SafetensorsFile(mapping: file) }
        return try format.open(file)
    }

    /// Zip archives are PyTorch's or NumPy's by what they hold.
    private static func openArchive(_ file: MappedFile) throws(CrayonError) -> any Checkpoint {
        let archive = try ZipArchive(mapping: file)
        if let name = TorchArchive.pickleName(archive) { return try PyTorchFile(archive: archive, pickleName: name) }
        if NumPyFile.isArchive(archive) { return try NumPyFile(archive: archive) }
        throw CrayonError(
            .unsupported, in: file.path,
            found: archive.entries.isEmpty
                ? "an empty zip archive"
                : "a zip archive of something else: \(ShardedFolder.list(archive.entries.prefix(4).map(\.name)))",
            expected: "'NAME/data.pkl', as torch.save writes it, or arrays that end in '.npy'",
            advice: "Unpack it if the tensors are in a file inside.")
    }

    /// A pickle of protocol 2 to 5. The number that a safetensors file begins with could look so; what follows it is '{'.
    private static func isOtherPickle(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count > 2 && bytes[0] == 0x80 && (2...5).contains(bytes[1])
            && (bytes.count < 9 || bytes[8] != UInt8(ascii: "{"))
    }
}

public import Bytes
public import Tensors

/// One array in an `.npy` file, or those of an `.npz` archive, mapped; see `Formats/numpy.md`.
///
/// Arrays are borrowed where they are stored as our tensors are; others are inflated, gathered or swapped when they are asked for.
public struct NumPyFile: SingleFileCheckpoint {
    private struct Stored: Sendable {
        let header: NumPyHeader
        /// Of an archive.
        let entry: ZipEntry?
    }

    public let place: String
    public let names: [String]
    public let mapping: MappedFile
    private let arrays: [String: Stored]
    private let archive: ZipArchive?

    /// - Throws: `CrayonError` for a file that cannot be read or does not follow the format.
    public init(path: String) throws(CrayonError) {
        let mapping = try MappedFile(path: path)
        if NumPyHeader.begins(mapping.whole.buffer) {
            try self.init(array: mapping)
        } else {
            try self.init(archive: ZipArchive(mapping: mapping))
        }
    }

    /// The array is named as the file, without `.npy`.
    init(array mapping: MappedFile) throws(CrayonError) {
        let header = try NumPyHeader(mapping.whole.buffer, total: mapping.count, place: mapping.path, item: nil)
        var name = Folder.lastPart(of: mapping.path)
        if name.hasSuffix(".npy"), name.utf8.count > 4 { name.removeLast(4) }
        place = mapping.path
        self.mapping = mapping
        names = [name]
        arrays = [name: Stored(header: header, entry: nil)]
        archive = nil
    }

    /// Whether an archive is one of arrays.
    static func isArchive(_ archive: ZipArchive) -> Bool {
        !archive.entries.isEmpty && archive.entries.allSatisfy { $0.name.hasSuffix(".npy") }
    }

    init(archive: ZipArchive) throws(CrayonError) {
        place = archive.place
        mapping = archive.mapping
        self.archive = archive
        var names: [String] = []
        var arrays: [String: Stored] = [:]
        for entry in archive.entries {
            let item = "array '\(entry.name.prefix(200))'"
            guard entry.name.hasSuffix(".npy") else {
                throw CrayonError(
                    .malformed, in: archive.place, item: "zip entry '\(entry.name.prefix(200))'",
                    found: "a name that does not end in '.npy'", expected: "arrays as numpy.savez writes them")
            }
            let fixed = try archive.prefix(entry, NumPyHeader.fixedCount)
            let count = try NumPyHeader.count(fixed.buffer, place: archive.place, item: item)
            let text = try archive.prefix(entry, count)
            let name = String(entry.name.dropLast(4))
            names.append(name)
            arrays[name] = Stored(
                header: try NumPyHeader(text.buffer, total: entry.count, place: archive.place, item: item), entry: entry
            )
        }
        self.names = names
        self.arrays = arrays
    }

    public var format: String { "NumPy" }

    public func entry(_ name: String) -> TensorEntry? {
        guard let stored = arrays[name] else { return nil }
        let view = stored.header.view
        return TensorEntry(
            name: name, type: view.type, shape: view.shape, encoding: view.type.rawValue, byteCount: view.byteCount,
            offset: range(stored).lowerBound)
    }

    public func tensor(_ name: String) throws(CrayonError) -> Tensor? {
        guard let stored = arrays[name] else { return nil }
        let whole: ByteRegion
        if let entry = stored.entry, let archive { whole = try archive.contents(entry) } else { whole = mapping.whole }
        let data = whole.slice(offset: stored.header.dataOffset, count: whole.count - stored.header.dataOffset)
        return stored.header.view.tensor(named: name, over: data)
    }

    public func range(of name: String) -> Range<Int>? { arrays[name].map(range) }

    /// The bytes of the file that an array is made from.
    private func range(_ stored: Stored) -> Range<Int> {
        guard let entry = stored.entry else { return stored.header.dataOffset..<mapping.count }
        return entry.dataOffset..<entry.dataOffset + entry.storedCount
    }
}

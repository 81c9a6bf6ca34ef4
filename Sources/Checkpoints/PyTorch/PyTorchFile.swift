public import Bytes
public import Tensors

/// A file of `torch.save`, mapped: a zip archive, or the stream of before PyTorch 1.6. Everything that it says of its tensors is
/// checked once, here; nothing in it is run. See `Formats/pytorch.md` for what is accepted and what is refused.
public struct PyTorchFile: SingleFileCheckpoint {
    private struct Stored: Sendable {
        let view: StridedView
        let storage: TorchStorage
    }

    public let place: String
    public let names: [String]
    /// Members of the outermost dict in which there is no tensor.
    public let skipped: [String]
    public let mapping: MappedFile
    private let tensors: [String: Stored]
    private let storages: TorchStorages

    /// - Throws: `CrayonError` for a file that cannot be read, does not follow the format, or names what is no part of a tensor.
    public init(path: String) throws(CrayonError) {
        try self.init(mapping: MappedFile(path: path))
    }

    public init(mapping: MappedFile) throws(CrayonError) {
        if TorchStream.begins(mapping.whole.buffer) {
            try self.init(stream: mapping)
            return
        }
        let archive = try ZipArchive(mapping: mapping)
        guard let name = TorchArchive.pickleName(archive) else {
            throw CrayonError(
                .malformed, in: mapping.path, found: "a zip archive without 'NAME/data.pkl'",
                expected: "an archive as torch.save writes it")
        }
        try self.init(archive: archive, pickleName: name)
    }

    init(archive: ZipArchive, pickleName: String) throws(CrayonError) {
        let torch = try TorchArchive(archive, pickleName: pickleName)
        guard let entry = archive[pickleName] else { preconditionFailure("found by its name") }
        // A pickle's values take several times its bytes, and weights outweigh it in any checkpoint.
        guard entry.count <= max(4 * archive.mapping.count, 1 << 20) else {
            throw CrayonError(
                .unsupported, in: archive.place, item: "data.pkl",
                found: "\(entry.count) bytes in an archive of \(archive.mapping.count)",
                expected: "at most four times the archive, or 1 MiB")
        }
        let region = try archive.contents(entry)
        let pickle = try PickleMachine.read(region.buffer, place: archive.place, item: "data.pkl")
        guard pickle.range.upperBound == region.count else {
            throw CrayonError(
                .malformed, in: archive.place, item: "data.pkl",
                found: "\(region.count - pickle.range.upperBound) bytes after the pickle", expected: "none")
        }
        try self.init(
            archive.mapping, archive, pickle, region.buffer, isBigEndian: torch.isBigEndian
        ) { name, item throws(CrayonError) in try torch.storage(name, item) }
    }

    private init(stream mapping: MappedFile) throws(CrayonError) {
        let bytes = mapping.whole.buffer
        let stream = try TorchStream(bytes, place: mapping.path)
        try self.init(mapping, nil, stream.pickle, bytes, isBigEndian: false) { name, item throws(CrayonError) in
            try stream.storage(name, item)
        }
    }

    /// - Parameters:
    ///   - bytes: what the pickle was read from.
    ///   - find: where a storage lies.
    private init(
        _ mapping: MappedFile, _ archive: ZipArchive?, _ pickle: Pickle, _ bytes: UnsafeRawBufferPointer,
        isBigEndian: Bool, find: (TorchStorageName, String) throws(CrayonError) -> TorchStorage
    ) throws(CrayonError) {
        let place = mapping.path
        let dict = try StateDict(pickle, bytes, place: place)
        let reading = TorchTensorReading(pickle: pickle, bytes: bytes, place: place)
        var tensors: [String: Stored] = [:]
        // A shape may be shared by many tensors, but takes memory for each.
        var axes = 65536 + pickle.range.count
        for leaf in dict.leaves {
            let item = "tensor '\(leaf.name)'"
            let tensor = try reading.tensor(leaf)
            axes -= tensor.shape.rank
            guard axes >= 0 else {
                throw CrayonError(
                    .unsupported, in: place, item: item, found: "shapes of more axes than the pickle has bytes",
                    expected: "tensors of a few axes")
            }
            let storage = try find(tensor.storage, item)
            guard
                let view = StridedView(
                    tensor.type, shape: tensor.shape, strides: tensor.strides, offset: tensor.offset,
                    isSwapped: isBigEndian, within: storage.byteCount / tensor.type.byteCount)
            else {
                throw CrayonError(
                    .malformed, in: place, item: item,
                    found: "shape \(tensor.shape) with strides \(tensor.strides) from element \(tensor.offset)",
                    expected: "elements inside its storage of \(storage.byteCount) bytes")
            }
            // An axis of stride 0 repeats its elements; a megabyte of it, or as much as the file, is a mask or a bias.
            guard view.byteCount <= max(mapping.count, 1 << 20) else {
                throw CrayonError(
                    .unsupported, in: place, item: item,
                    found: "\(view.byteCount) bytes that repeat \(storage.byteCount)",
                    expected: "at most as many as the file has",
                    advice: "Call contiguous() on the tensor in Python and save it again.")
            }
            tensors[leaf.name] = Stored(view: view, storage: storage)
        }
        self.place = place
        self.mapping = mapping
        self.tensors = tensors
        names = dict.leaves.map(\.name)
        skipped = dict.skipped
        storages = TorchStorages(mapping: mapping, archive: archive)
    }

    public var format: String { "PyTorch" }

    public func entry(_ name: String) -> TensorEntry? {
        guard let stored = tensors[name] else { return nil }
        return TensorEntry(
            name: name, type: stored.view.type, shape: stored.view.shape, encoding: stored.view.type.rawValue,
            byteCount: stored.view.byteCount, offset: range(stored).lowerBound)
    }

    public func tensor(_ name: String) throws(CrayonError) -> Tensor? {
        guard let stored = tensors[name] else { return nil }
        return stored.view.tensor(named: name, over: try storages.region(stored.storage))
    }

    public func range(of name: String) -> Range<Int>? { tensors[name].map(range) }

    /// The bytes of the file that a tensor is made from: its own where it is dense, else its whole storage.
    private func range(_ stored: Stored) -> Range<Int> {
        switch stored.storage.place {
        case .deflated(let entry): return entry.dataOffset..<entry.dataOffset + entry.storedCount
        case .mapped(let offset):
            guard stored.view.isDense else { return offset..<offset + stored.storage.byteCount }
            let start = stored.view.shape.count == 0 ? offset : offset + stored.view.offset * stored.view.type.byteCount
            return start..<start + stored.view.byteCount
        }
    }
}

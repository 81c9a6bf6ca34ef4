import Bytes
import Synchronization

/// Where the bytes of a storage lie.
struct TorchStorage: Sendable {
    enum Place: Sendable {
        /// From the start of the file.
        case mapped(Int)
        case deflated(ZipEntry)
    }

    let place: Place
    let byteCount: Int
}

/// The storages of a file. Deflated ones are inflated when a tensor in them is asked for, and the last is kept: tensors of one
/// storage follow each other.
final class TorchStorages: Sendable {
    private let mapping: MappedFile
    private let archive: ZipArchive?
    private let last = Mutex<(name: String, region: ByteRegion)?>(nil)

    init(mapping: MappedFile, archive: ZipArchive?) {
        self.mapping = mapping
        self.archive = archive
    }

    func region(_ storage: TorchStorage) throws(CrayonError) -> ByteRegion {
        switch storage.place {
        case .mapped(let offset): return mapping.region(offset: offset, count: storage.byteCount)
        case .deflated(let entry):
            if let kept = last.withLock({ $0?.name == entry.name ? $0?.region : nil }) { return kept }
            guard let archive else { preconditionFailure("deflated entries are an archive's") }
            let region = try archive.contents(entry)
            last.withLock { $0 = (entry.name, region) }
            return region
        }
    }
}

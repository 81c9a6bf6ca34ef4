import Bytes

/// A zip archive as `torch.save` writes it since PyTorch 1.6: `NAME/data.pkl`, `NAME/data/KEY` for each storage, and small records.
struct TorchArchive {
    let archive: ZipArchive
    /// `NAME/`.
    private let prefix: String
    let isBigEndian: Bool

    /// The name of the entry with the pickle; nil for an archive that has none, which is something else.
    static func pickleName(_ archive: ZipArchive) -> String? {
        archive.entries.first { entry in
            entry.name.hasSuffix("/data.pkl") && entry.name.utf8.count(where: { $0 == UInt8(ascii: "/") }) == 1
        }?.name
    }

    /// - Parameter pickleName: as `pickleName(_:)` gives it.
    init(_ archive: ZipArchive, pickleName: String) throws(CrayonError) {
        self.archive = archive
        let prefix = String(pickleName.dropLast("data.pkl".count))
        self.prefix = prefix
        let isScript = archive.entries.contains {
            $0.name == prefix + "constants.pkl" || $0.name.hasPrefix(prefix + "code/")
        }
        guard !isScript else {
            throw CrayonError(
                .unsupported, in: archive.place, found: "a TorchScript program, which has code beside its tensors",
                expected: "a state_dict as torch.save writes it",
                advice: "Load it in Python with torch.jit.load and save its state_dict().")
        }
        var isBigEndian = false
        if let entry = archive[prefix + "byteorder"] {
            let order = try archive.prefix(entry, 16).array
            guard order == Array("little".utf8) || order == Array("big".utf8) else {
                throw CrayonError(
                    .malformed, in: archive.place, item: "zip entry '\(entry.name)'",
                    found: "'\(String(decoding: order, as: UTF8.self))'", expected: "'little' or 'big'")
            }
            isBigEndian = order == Array("big".utf8)
        }
        self.isBigEndian = isBigEndian
    }

    func storage(_ name: TorchStorageName, _ item: String) throws(CrayonError) -> TorchStorage {
        func refuse(_ found: String, _ expected: String, _ code: CrayonError.Code = .malformed) -> CrayonError {
            CrayonError(
                code, in: archive.place, item: item, found: found, expected: expected,
                advice: "The archive is incomplete or damaged; copy or download it again.")
        }
        guard name.view == nil else { throw refuse("a view of a storage", "a storage of its own") }
        let (byteCount, overflow) = name.count.multipliedReportingOverflow(by: name.elementSize)
        guard !overflow else {
            throw refuse("a storage of more bytes than 64 bits can count", "one that fits the file")
        }
        guard let entry = archive[prefix + "data/" + name.key] else {
            throw refuse("no entry '\(prefix)data/\(name.key)'", "its storage in the archive", .missing)
        }
        guard entry.count == byteCount else {
            throw refuse("a storage of \(entry.count) bytes in '\(entry.name)'", "\(byteCount), as the pickle says")
        }
        return TorchStorage(
            place: entry.method == .deflated ? .deflated(entry) : .mapped(entry.dataOffset), byteCount: byteCount)
    }
}

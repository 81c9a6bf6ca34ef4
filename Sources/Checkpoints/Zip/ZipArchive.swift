import Bytes

/// A zip archive, mapped, its directory checked in full: see `Formats/pytorch.md` for what is refused.
struct ZipArchive: Sendable {
    /// What deflated entries of one archive may come to, all together: 32 times the file, and 16 MiB for small ones. Weights
    /// deflate to half at best; what comes to more is made to fill memory.
    static func inflationLimit(fileCount: Int) -> Int {
        let (product, overflow) = fileCount.multipliedReportingOverflow(by: 32)
        return overflow ? .max : max(product, 16 << 20)
    }

    let mapping: MappedFile
    let entries: [ZipEntry]
    private let positions: [String: Int]
    /// False where all checksums are 0: `torch.serialization.set_crc32_options(False)` leaves them out.
    private let hasChecksums: Bool

    var place: String { mapping.path }

    init(mapping: MappedFile) throws(CrayonError) {
        let directory = try ZipDirectory(mapping.whole.buffer, place: mapping.path)
        self.mapping = mapping
        entries = directory.entries
        positions = directory.positions
        hasChecksums = entries.contains { $0.crc != 0 }
        let limit = Self.inflationLimit(fileCount: mapping.count)
        var total = 0
        for entry in entries where entry.method == .deflated {
            let (sum, overflow) = total.addingReportingOverflow(entry.count)
            guard !overflow, sum <= limit else {
                throw CrayonError(
                    .unsupported, in: mapping.path, item: "zip entry '\(entry.name.prefix(200))'",
                    found: "an archive of \(mapping.count) bytes that inflates to more than \(limit)",
                    expected: "32 times its size at most, or 16 MiB",
                    advice: "If you trust it, unpack it and write it again without compression.")
            }
            total = sum
        }
    }

    subscript(name: String) -> ZipEntry? { positions[name].map { entries[$0] } }

    /// The bytes in the file as they are, compressed or not.
    func stored(_ entry: ZipEntry) -> ByteRegion {
        mapping.region(offset: entry.dataOffset, count: entry.storedCount)
    }

    /// The contents, their checksum checked: mapped where they are stored, in memory of their own where they are deflated.
    /// - Throws: `CrayonError` for a stream that is damaged or of another size than the directory says.
    func contents(_ entry: ZipEntry) throws(CrayonError) -> ByteRegion {
        let region = try unchecked(entry)
        guard !hasChecksums || Inflation.checksum(region.buffer) == entry.crc else {
            throw CrayonError(
                .corrupt, in: place, item: "zip entry '\(entry.name.prefix(200))'",
                found: "contents with another CRC-32 than recorded", expected: "the bytes that were written",
                advice: "Copy or download the file again.")
        }
        return region
    }

    private func unchecked(_ entry: ZipEntry) throws(CrayonError) -> ByteRegion {
        guard entry.method == .deflated else { return stored(entry) }
        let buffer = ByteBuffer(uninitialized: entry.count)
        let outcome = Inflation.inflate(stored(entry).buffer, into: buffer.bytes)
        guard outcome == .ended(made: entry.count, read: entry.storedCount) else { throw damaged(entry) }
        return buffer.region
    }

    /// The first bytes of the contents, `count` of them or all, unchecked: for a header before the whole is asked for.
    func prefix(_ entry: ZipEntry, _ count: Int) throws(CrayonError) -> ByteRegion {
        let count = min(count, entry.count)
        guard entry.method == .deflated else { return stored(entry).slice(offset: 0, count: count) }
        let buffer = ByteBuffer(uninitialized: count)
        switch Inflation.inflate(stored(entry).buffer, into: buffer.bytes) {
        case .longer: return buffer.region
        case .ended(let made, _) where made == count: return buffer.region
        case .ended, .damaged: throw damaged(entry)
        }
    }

    private func damaged(_ entry: ZipEntry) -> CrayonError {
        CrayonError(
            .corrupt, in: place, item: "zip entry '\(entry.name.prefix(200))'",
            found: "a deflate stream that is damaged or of another size than the directory says",
            expected: "\(entry.count) bytes from \(entry.storedCount)", advice: "Copy or download the file again.")
    }
}

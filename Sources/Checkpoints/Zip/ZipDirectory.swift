import Bytes

/// The central directory of a zip archive, read and held against the local headers.
struct ZipDirectory {
    static let headerSize = 46
    static let localSize = 30

    private(set) var entries: [ZipEntry] = []
    private(set) var positions: [String: Int] = [:]
    private let bytes: UnsafeRawBufferPointer
    private let place: String

    /// - Parameter bytes: the whole file; used in this call only.
    init(_ bytes: UnsafeRawBufferPointer, place: String) throws(CrayonError) {
        self.bytes = bytes
        self.place = place
        let end = try ZipEnd(bytes, place: place)
        var offset = end.directory.lowerBound
        entries.reserveCapacity(end.entryCount)
        for index in 0..<end.entryCount {
            let (entry, next) = try centralHeader(at: offset, number: index, limit: end.directory.upperBound)
            offset = next
            guard positions.updateValue(index, forKey: entry.name) == nil else {
                throw refuse(entry.name, "a name that two entries have", "names that are unique")
            }
            entries.append(entry)
        }
        guard offset == end.directory.upperBound else {
            throw CrayonError(
                .malformed, in: place, item: "zip central directory",
                found: "\(end.directory.upperBound - offset) bytes after its \(end.entryCount) entries",
                expected: "none")
        }
        try checkPlaces(end: end.directory.lowerBound)
    }

    private func refuse(
        _ name: String, _ found: String, _ expected: String, _ code: CrayonError.Code = .malformed,
        advice: String? = nil
    ) -> CrayonError {
        CrayonError(
            code, in: place, item: "zip entry '\(name.prefix(200))'", found: found, expected: expected, advice: advice)
    }

    /// - Returns: the entry, and where the next header begins.
    private func centralHeader(
        at offset: Int, number: Int, limit: Int
    ) throws(CrayonError) -> (ZipEntry, next: Int) {
        func cut(_ what: String) -> CrayonError {
            CrayonError(
                .malformed, in: place, item: "zip central directory", found: "\(what) of entry \(number)",
                expected: "one that lies inside it")
        }
        guard offset + Self.headerSize <= limit, LittleEndian.u32(bytes, offset) == 0x0201_4B50 else {
            throw cut("no header")
        }
        let nameCount = Int(LittleEndian.u16(bytes, offset + 28))
        let extraCount = Int(LittleEndian.u16(bytes, offset + 30))
        let nameStart = offset + Self.headerSize
        let extra = nameStart + nameCount..<nameStart + nameCount + extraCount
        let next = extra.upperBound + Int(LittleEndian.u16(bytes, offset + 32))
        guard next <= limit else { throw cut("a header past the end") }
        guard let name = String(validating: bytes[nameStart..<extra.lowerBound], as: UTF8.self), !name.isEmpty,
            !name.utf8.contains(0)
        else { throw cut("a name that is no text, or empty,") }

        let flags = LittleEndian.u16(bytes, offset + 8)
        // 0 encrypted, 5 patches, 6 strong encryption, 13 masked headers.
        guard flags & 0x2061 == 0 else {
            throw refuse(
                name, "encrypted, or a patch (flags 0x\(String(flags, radix: 16)))", "plain data", .unsupported,
                advice: "Unpack the archive and give the files.")
        }
        let number = LittleEndian.u16(bytes, offset + 10)
        guard number == 0 || number == 8 else {
            throw refuse(
                name, ZipEntry.methodName(number), "stored, or deflated", .unsupported,
                advice: "Unpack the archive and write it again without compression.")
        }
        let wide = try wideFields(extra, offset, name)
        guard wide.disk == 0 else { throw refuse(name, "data in another part", "one file") }
        guard let stored = Int(exactly: wide.stored), let count = Int(exactly: wide.count),
            let header = Int(exactly: wide.header)
        else { throw refuse(name, "sizes past 63 bits", "sizes that fit the file") }
        let entry = ZipEntry(
            name: name, method: number == 0 ? .stored : .deflated, crc: LittleEndian.u32(bytes, offset + 16),
            storedCount: stored, count: count, headerOffset: header, flags: flags)
        return (entry, next)
    }

    private typealias Fields = (count: UInt64, stored: UInt64, header: UInt64, disk: UInt32)

    /// Sizes and place, from the zip64 extra field where the header has all ones.
    private func wideFields(_ extra: Range<Int>, _ offset: Int, _ name: String) throws(CrayonError) -> Fields {
        var fields: Fields = (
            UInt64(LittleEndian.u32(bytes, offset + 24)), UInt64(LittleEndian.u32(bytes, offset + 20)),
            UInt64(LittleEndian.u32(bytes, offset + 42)), UInt32(LittleEndian.u16(bytes, offset + 34))
        )
        var cursor = extra.lowerBound
        var seen = false
        while cursor + 4 <= extra.upperBound {
            let tag = LittleEndian.u16(bytes, cursor)
            let end = cursor + 4 + Int(LittleEndian.u16(bytes, cursor + 2))
            guard end <= extra.upperBound else { throw refuse(name, "an extra field past its end", "whole fields") }
            cursor += 4
            if tag == 1 {
                guard !seen else { throw refuse(name, "two zip64 fields", "one") }
                seen = true
                func next() throws(CrayonError) -> UInt64 {
                    guard cursor + 8 <= end else {
                        throw refuse(name, "a zip64 field cut short", "a value for each size")
                    }
                    defer { cursor += 8 }
                    return LittleEndian.u64(bytes, cursor)
                }
                if fields.count == 0xFFFF_FFFF { fields.count = try next() }
                if fields.stored == 0xFFFF_FFFF { fields.stored = try next() }
                if fields.header == 0xFFFF_FFFF { fields.header = try next() }
                if fields.disk == 0xFFFF {
                    guard cursor + 4 <= end else {
                        throw refuse(name, "a zip64 field cut short", "a value for each size")
                    }
                    fields.disk = LittleEndian.u32(bytes, cursor)
                }
            }
            cursor = end
        }
        return fields
    }

    /// In the order of their local headers, entries begin at the file's first byte and end before the directory, and each ends
    /// before the next begins.
    private mutating func checkPlaces(end: Int) throws(CrayonError) {
        let order = entries.indices.sorted { entries[$0].headerOffset < entries[$1].headerOffset }
        if let first = order.first, entries[first].headerOffset != 0 {
            throw refuse(
                entries[first].name, "\(entries[first].headerOffset) bytes before the first entry",
                "an archive that begins with it")
        }
        for (rank, index) in order.enumerated() {
            // Offsets are the archive's claims: none may lead past the entries.
            let limit = rank + 1 < order.count ? min(entries[order[rank + 1]].headerOffset, end) : end
            entries[index].dataOffset = try ZipLocalHeader(entries[index], limit: limit, bytes, place: place).dataOffset
        }
    }
}

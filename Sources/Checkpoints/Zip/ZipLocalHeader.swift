import Bytes

/// The header before an entry's data, and the descriptor behind them, held against the central directory: a reader that goes by the
/// one must see what a reader of the other sees.
struct ZipLocalHeader {
    let dataOffset: Int

    /// - Parameter limit: where the next entry or the central directory begins.
    init(_ entry: ZipEntry, limit: Int, _ bytes: UnsafeRawBufferPointer, place: String) throws(CrayonError) {
        func refuse(_ found: String, _ expected: String) -> CrayonError {
            CrayonError(
                .malformed, in: place, item: "zip entry '\(entry.name.prefix(200))'", found: found, expected: expected,
                advice: "The archive is damaged, or made to be read differently by different programs.")
        }
        let start = entry.headerOffset
        guard limit >= start, limit - start >= ZipDirectory.localSize,
            LittleEndian.u32(bytes, start) == 0x0403_4B50
        else { throw refuse("no local header at byte \(start), or one that overlaps another entry", "one there") }
        let nameStart = start + ZipDirectory.localSize
        let nameCount = Int(LittleEndian.u16(bytes, start + 26))
        let extraCount = Int(LittleEndian.u16(bytes, start + 28))
        dataOffset = nameStart + nameCount + extraCount
        guard dataOffset <= limit, entry.storedCount <= limit - dataOffset else {
            throw refuse(
                "\(entry.storedCount) bytes of data at \(dataOffset), past byte \(limit)",
                "data that end before the next entry")
        }
        guard bytes[nameStart..<nameStart + nameCount].elementsEqual(entry.name.utf8) else {
            throw refuse("another name in the local header", "the same name in both headers")
        }
        let method: UInt16 = entry.method == .stored ? 0 : 8
        guard LittleEndian.u16(bytes, start + 6) == entry.flags, LittleEndian.u16(bytes, start + 8) == method else {
            throw refuse("another method or other flags in the local header", "the same in both headers")
        }
        guard entry.method == .deflated || entry.storedCount == entry.count else {
            throw refuse("\(entry.count) bytes stored in \(entry.storedCount)", "as many")
        }
        if entry.hasDescriptor {
            let after = dataOffset + entry.storedCount..<limit
            guard Self.isDescriptor(of: entry, bytes, at: after) else {
                throw refuse("no data descriptor with the directory's sizes and checksum behind the data", "one")
            }
            return
        }
        var wide = Self.wideSizes(bytes, nameStart + nameCount..<dataOffset)
        func size(_ field: Int) -> UInt64 {
            let short = LittleEndian.u32(bytes, start + field)
            if short == 0xFFFF_FFFF, !wide.isEmpty { return wide.removeFirst() }
            return UInt64(short)
        }
        // The field of the zip64 extension has the size of the contents first.
        let count = size(22)
        let stored = size(18)
        guard count == UInt64(entry.count), stored == UInt64(entry.storedCount),
            LittleEndian.u32(bytes, start + 14) == entry.crc
        else { throw refuse("other sizes or another checksum in the local header", "the same in both headers") }
    }

    /// The values of the first zip64 field; none where there is no such field.
    private static func wideSizes(_ bytes: UnsafeRawBufferPointer, _ extra: Range<Int>) -> [UInt64] {
        var cursor = extra.lowerBound
        while cursor + 4 <= extra.upperBound {
            let count = Int(LittleEndian.u16(bytes, cursor + 2))
            guard cursor + 4 + count <= extra.upperBound else { return [] }
            if LittleEndian.u16(bytes, cursor) == 1 {
                return (0..<min(count / 8, 2)).map { LittleEndian.u64(bytes, cursor + 4 + 8 * $0) }
            }
            cursor += 4 + count
        }
        return []
    }

    /// With and without its signature, with sizes of 4 and of 8 bytes: writers differ, and the format has no mark for it.
    private static func isDescriptor(of entry: ZipEntry, _ bytes: UnsafeRawBufferPointer, at range: Range<Int>) -> Bool
    {
        func matches(_ start: Int, _ width: Int) -> Bool {
            guard start + 4 + 2 * width <= range.upperBound, LittleEndian.u32(bytes, start) == entry.crc else {
                return false
            }
            let stored = start + 4
            return width == 8
                ? LittleEndian.u64(bytes, stored) == UInt64(entry.storedCount)
                    && LittleEndian.u64(bytes, stored + 8) == UInt64(entry.count)
                : UInt64(LittleEndian.u32(bytes, stored)) == UInt64(entry.storedCount)
                    && UInt64(LittleEndian.u32(bytes, stored + 4)) == UInt64(entry.count)
        }
        let start = range.lowerBound
        if start + 4 <= range.upperBound, LittleEndian.u32(bytes, start) == 0x0807_4B50,
            matches(start + 4, 4) || matches(start + 4, 8)
        {
            return true
        }
        return matches(start, 4) || matches(start, 8)
    }
}

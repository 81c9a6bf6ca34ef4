import Bytes

/// The records at the end of a zip archive, which say where its central directory lies.
///
/// Archives without a comment only: then the end record is the last 22 bytes and no second one can be meant. The directory, the
/// zip64 records and the end record lie one behind the other, so that nothing hides between them.
struct ZipEnd {
    static let size = 22
    private static let locatorSize = 20
    private static let record64Size = 56

    let entryCount: Int
    /// Bytes of the central directory.
    let directory: Range<Int>

    init(_ bytes: UnsafeRawBufferPointer, place: String) throws(CrayonError) {
        func refuse(_ found: String, _ expected: String) -> CrayonError {
            CrayonError(
                .malformed, in: place, item: "zip end record", found: found, expected: expected,
                advice: "The archive is cut short or was changed; copy or download it again.")
        }
        let end = bytes.count - Self.size
        guard end >= 0, LittleEndian.u32(bytes, end) == 0x0605_4B50, LittleEndian.u16(bytes, end + 20) == 0 else {
            throw refuse("none in the last \(Self.size) bytes", "a zip archive that ends in it, without a comment")
        }
        guard LittleEndian.u16(bytes, end + 4) == 0, LittleEndian.u16(bytes, end + 6) == 0 else {
            throw refuse("an archive in several parts", "one file")
        }
        let here = LittleEndian.u16(bytes, end + 8)
        var count = UInt64(LittleEndian.u16(bytes, end + 10))
        var size = UInt64(LittleEndian.u32(bytes, end + 12))
        var offset = UInt64(LittleEndian.u32(bytes, end + 16))
        guard UInt64(here) == count else { throw refuse("\(here) of \(count) entries in this part", "all of them") }

        var directoryEnd = end
        let locator = end - Self.locatorSize
        if locator >= 0, LittleEndian.u32(bytes, locator) == 0x0706_4B50 {
            guard LittleEndian.u32(bytes, locator + 4) == 0, LittleEndian.u32(bytes, locator + 16) <= 1 else {
                throw refuse("an archive in several parts", "one file")
            }
            let record = locator - Self.record64Size
            guard record >= 0, LittleEndian.u64(bytes, locator + 8) == UInt64(record),
                LittleEndian.u32(bytes, record) == 0x0606_4B50,
                LittleEndian.u64(bytes, record + 4) == UInt64(Self.record64Size - 12),
                LittleEndian.u32(bytes, record + 16) == 0, LittleEndian.u32(bytes, record + 20) == 0,
                LittleEndian.u64(bytes, record + 24) == LittleEndian.u64(bytes, record + 32)
            else { throw refuse("a zip64 locator that points to no zip64 end record before it", "one of 56 bytes") }
            let wide = (24...48).filter { $0 != 32 && $0 % 8 == 0 }.map { LittleEndian.u64(bytes, record + $0) }
            // What the short record can hold it must say too: a reader that looks at one of them only sees the same archive.
            guard count == 0xFFFF || count == wide[0], size == 0xFFFF_FFFF || size == wide[1],
                offset == 0xFFFF_FFFF || offset == wide[2]
            else { throw refuse("another count, size or place than in the zip64 end record", "the same in both") }
            (count, size, offset) = (wide[0], wide[1], wide[2])
            directoryEnd = record
        }
        guard offset <= UInt64(directoryEnd), size == UInt64(directoryEnd) - offset else {
            throw refuse(
                "a central directory of \(size) bytes at \(offset)",
                "one that ends at \(directoryEnd), before this record")
        }
        guard count <= size / UInt64(ZipDirectory.headerSize) else {
            throw refuse("\(count) entries", "at most what a central directory of \(size) bytes holds")
        }
        entryCount = Int(count)
        directory = Int(offset)..<directoryEnd
    }
}

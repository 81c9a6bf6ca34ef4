/// A member of a zip archive whose records have been checked: the data lie inside the file and no other member's do.
struct ZipEntry: Sendable {
    enum Method: Sendable {
        case stored, deflated
    }

    var name: String
    var method: Method
    /// Of the contents.
    var crc: UInt32
    /// Bytes in the file.
    var storedCount: Int
    /// Bytes of the contents.
    var count: Int
    /// Of the local header.
    var headerOffset: Int
    var dataOffset = 0
    /// General purpose flags.
    var flags: UInt16

    /// Bit 3: the local header leaves sizes and checksum to a record behind the data.
    var hasDescriptor: Bool { flags & 0x8 != 0 }

    /// Methods that archives are met with, by number (PKWARE's APPNOTE 6.3.10, 4.4.5).
    static func methodName(_ number: UInt16) -> String {
        let names: [UInt16: String] = [
            1: "shrunk", 6: "imploded", 9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd",
            99: "AES",
        ]
        return "method \(number)" + (names[number].map { " (\($0))" } ?? "")
    }
}

/// Archives as bytes, for tests that make or change them.
enum ZipBytes {
    /// Stored entries without checksums, as PyTorch writes them when it is told to leave those out.
    static func archive(_ entries: [(name: String, bytes: [UInt8])]) -> [UInt8] {
        func little(_ value: Int, _ width: Int) -> [UInt8] {
            (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        }
        var out: [UInt8] = []
        var directory: [UInt8] = []
        for (name, bytes) in entries {
            let sizes = little(0, 4) + little(bytes.count, 4) + little(bytes.count, 4) + little(name.utf8.count, 2)
            let offset = out.count
            out += [0x50, 0x4B, 3, 4] + little(20, 2) + little(0, 8) + sizes + little(0, 2)
            out += Array(name.utf8) + bytes
            directory += [0x50, 0x4B, 1, 2] + little(20, 2) + little(20, 2) + little(0, 8) + sizes + little(0, 12)
            directory += little(offset, 4) + Array(name.utf8)
        }
        let start = out.count
        out += directory
        out += [0x50, 0x4B, 5, 6] + little(0, 4) + little(entries.count, 2) + little(entries.count, 2)
        return out + little(directory.count, 4) + little(start, 4) + little(0, 2)
    }

    /// Sets every checksum to 0: then none is checked.
    static func clearChecksums(_ bytes: inout [UInt8]) {
        for index in 0..<bytes.count - 4 where bytes[index] == 0x50 && bytes[index + 1] == 0x4B {
            let isLocal = bytes[index + 2] == 3 && bytes[index + 3] == 4
            let isCentral = bytes[index + 2] == 1 && bytes[index + 3] == 2
            guard isLocal || isCentral else { continue }
            let field = index + (isLocal ? 14 : 16)
            guard field + 4 <= bytes.count else { continue }
            for place in field..<field + 4 { bytes[place] = 0 }
        }
    }
}

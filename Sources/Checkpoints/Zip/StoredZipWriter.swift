import Bytes
import CZlib

/// Writes a zip archive of stored entries whose names and sizes are known before: what `torch.save` and `numpy.savez` write.
///
/// Places follow from names and sizes, so that the same entries and bytes give the same archive. The data of entries begin at multiples of 64 bytes.
/// The archive appears under its name at `commit`.
final class StoredZipWriter {
    struct Entry {
        let name: String
        let count: Int
    }

    private struct Slot {
        let name: [UInt8]
        let count: Int
        let headerOffset: Int
        let dataOffset: Int
        var written = 0
        var crc: UInt32 = 0
    }

    private static let alignment = 64
    private static let wide = 0xFFFF_FFFF
    private static let localSize = 30

    let path: String
    private let file: AtomicFile
    private var slots: [Slot] = []
    private let directoryOffset: Int

    /// - Throws: `CrayonError` for names that are too long or come twice, and when the file cannot be created.
    init(path: String, entries: [Entry]) throws(CrayonError) {
        self.path = path
        var seen: Set<String> = []
        var place = 0
        for entry in entries {
            let name = Array(entry.name.utf8)
            guard !name.isEmpty, name.count < 0xFFFF, !name.contains(0), seen.insert(entry.name).inserted else {
                throw CrayonError(
                    .unsupported, in: path, item: "name '\(entry.name.prefix(200))'",
                    found: "a name that is empty, longer than 65534 bytes, has a zero byte or comes twice",
                    expected: "names that a zip archive can hold", advice: "Convert to safetensors.")
            }
            let start = place + Self.localSize + name.count + (entry.count >= Self.wide ? 20 : 0)
            // What pads is a field of its own, with 4 bytes of head.
            let data = (start + 4 + Self.alignment - 1) / Self.alignment * Self.alignment
            slots.append(Slot(name: name, count: entry.count, headerOffset: place, dataOffset: data))
            place = data + entry.count
        }
        directoryOffset = place
        file = try AtomicFile(path: path)
    }

    /// Appends to an entry.
    /// - Precondition: the entry has room for the bytes.
    func append(_ bytes: UnsafeRawBufferPointer, to index: Int) throws(CrayonError) {
        precondition(bytes.count <= slots[index].count - slots[index].written)
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        try file.write(bytes, at: slots[index].dataOffset + slots[index].written)
        slots[index].written += bytes.count
        slots[index].crc = UInt32(
            truncatingIfNeeded: crc32_z(
                UInt(slots[index].crc), base.assumingMemoryBound(to: UInt8.self), bytes.count))
    }

    func append(_ bytes: [UInt8], to index: Int) throws(CrayonError) {
        let region = ByteRegion(copying: bytes)
        try withExtendedLifetime(region) { () throws(CrayonError) in try append(region.buffer, to: index) }
    }

    /// - Precondition: every entry has all of its bytes.
    func commit() throws(CrayonError) {
        var directory: [UInt8] = []
        for slot in slots {
            precondition(slot.written == slot.count)
            try file.write(local(slot), at: slot.headerOffset)
            directory += central(slot)
        }
        let end = directoryOffset + directory.count
        var tail: [UInt8] = []
        let isWide = slots.count >= 0xFFFF || directoryOffset >= Self.wide || directory.count >= Self.wide
        if isWide {
            tail.add(0x0606_4B50, 4)
            tail.add(44, 8)
            tail.add(45, 2)
            tail.add(45, 2)
            tail.add(0, 8)
            tail.add(slots.count, 8)
            tail.add(slots.count, 8)
            tail.add(directory.count, 8)
            tail.add(directoryOffset, 8)
            tail.add(0x0706_4B50, 4)
            tail.add(0, 4)
            tail.add(end, 8)
            tail.add(1, 4)
        }
        tail.add(0x0605_4B50, 4)
        tail.add(0, 4)
        tail.add(min(slots.count, 0xFFFF), 2)
        tail.add(min(slots.count, 0xFFFF), 2)
        tail.add(min(directory.count, Self.wide), 4)
        tail.add(min(directoryOffset, Self.wide), 4)
        tail.add(0, 2)
        try file.write(directory, at: directoryOffset)
        try file.write(tail, at: end)
        try file.commit()
    }

    /// What both headers say, from the version that is needed to the lengths of name and extra fields.
    private func common(_ slot: Slot, extra: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        let isASCII = slot.name.allSatisfy { $0 < 0x80 }
        bytes.add(slot.count >= Self.wide || slot.headerOffset >= Self.wide ? 45 : 20, 2)
        bytes.add(isASCII ? 0 : 0x0800, 2)
        bytes.add(0, 2)
        bytes.add(0, 2)
        // 1 January 1980: the same tensors give the same bytes.
        bytes.add(0x21, 2)
        bytes.add(Int(slot.crc), 4)
        bytes.add(min(slot.count, Self.wide), 4)
        bytes.add(min(slot.count, Self.wide), 4)
        bytes.add(slot.name.count, 2)
        bytes.add(extra, 2)
        return bytes
    }

    private func local(_ slot: Slot) -> [UInt8] {
        let extra = slot.dataOffset - slot.headerOffset - Self.localSize - slot.name.count
        var bytes: [UInt8] = []
        bytes.add(0x0403_4B50, 4)
        bytes += common(slot, extra: extra) + slot.name
        var padding = extra - 4
        if slot.count >= Self.wide {
            bytes.add(1, 2)
            bytes.add(16, 2)
            bytes.add(slot.count, 8)
            bytes.add(slot.count, 8)
            padding -= 20
        }
        // The field that PyTorch pads with.
        bytes.add(0x4246, 2)
        bytes.add(padding, 2)
        return bytes + [UInt8](repeating: 0, count: padding)
    }

    private func central(_ slot: Slot) -> [UInt8] {
        var extra: [UInt8] = []
        if slot.count >= Self.wide {
            extra.add(slot.count, 8)
            extra.add(slot.count, 8)
        }
        if slot.headerOffset >= Self.wide { extra.add(slot.headerOffset, 8) }
        var field: [UInt8] = []
        if !extra.isEmpty {
            field.add(1, 2)
            field.add(extra.count, 2)
            field += extra
        }
        var bytes: [UInt8] = []
        bytes.add(0x0201_4B50, 4)
        bytes.add(45, 2)
        bytes += common(slot, extra: field.count)
        // No comment, the only part, no attributes.
        bytes.add(0, 2)
        bytes.add(0, 2)
        bytes.add(0, 2)
        bytes.add(0, 4)
        bytes.add(min(slot.headerOffset, Self.wide), 4)
        return bytes + slot.name + field
    }
}

extension [UInt8] {
    /// Appends the low `count` bytes of a number, the lowest first.
    fileprivate mutating func add(_ value: Int, _ count: Int) {
        for byte in 0..<count { append(UInt8(truncatingIfNeeded: value >> (8 * byte))) }
    }
}

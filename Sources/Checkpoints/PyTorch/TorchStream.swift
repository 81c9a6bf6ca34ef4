import Bytes

/// A stream as `torch.save` wrote it before PyTorch 1.6: five pickles (magic number, protocol, machine, object, storage keys),
/// then for each key its number of elements as 8 bytes and the elements, little-endian.
struct TorchStream {
    private let place: String
    let pickle: Pickle
    /// By root key.
    private var storages: [String: (offset: Int, count: Int, elementSize: Int)] = [:]

    /// `119547037146038801333356` as a long of 10 bytes.
    private static let magic: [UInt8] = [0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
    private static let magicText = Array("L119547037146038801333356L\n.".utf8)

    /// Whether a file begins with the magic number's pickle, in any protocol. No safetensors file does: its ninth byte is '{'.
    static func begins(_ bytes: UnsafeRawBufferPointer) -> Bool {
        if bytes.starts(with: magicText) { return true }
        guard bytes.count > 2, bytes[0] == 0x80, bytes[1] <= 5 else { return false }
        let frame = bytes[2] == PickleOpcode.frame.rawValue ? 9 : 0
        return bytes.dropFirst(2 + frame).starts(with: magic)
    }

    init(_ bytes: UnsafeRawBufferPointer, place: String) throws(CrayonError) {
        self.place = place
        func refuse(_ item: String, _ found: String, _ expected: String) -> CrayonError {
            CrayonError(
                .malformed, in: place, item: item, found: found, expected: expected,
                advice: "The file is cut short or damaged; copy or download it again.")
        }
        let magic = try PickleMachine.read(bytes, place: place, item: "magic number")
        let version = try PickleMachine.read(bytes, at: magic.range.upperBound, place: place, item: "protocol version")
        guard version.int(version.root) == 1001 else {
            throw refuse("protocol version", "another than 1001", "1001, the only one of this kind of file")
        }
        let machine = try PickleMachine.read(bytes, at: version.range.upperBound, place: place, item: "machine")
        pickle = try PickleMachine.read(bytes, at: machine.range.upperBound, place: place, item: "pickle")
        let keys = try PickleMachine.read(bytes, at: pickle.range.upperBound, place: place, item: "storage keys")
        guard case .list(let list) = keys[keys.root] else { throw refuse("storage keys", "no list", "a list of texts") }

        let sizes = try Self.elementSizes(pickle, bytes, place: place)
        var offset = keys.range.upperBound
        var next = keys.containers[Int(list)].first
        while next != Pickle.noCell {
            let cell = keys.cells[Int(next)]
            next = cell.next
            guard
                let key = keys.int(cell.value).map(String.init)
                    ?? keys.text(cell.value, in: bytes, limit: TorchTensorReading.keyLimit), let size = sizes[key]
            else { throw refuse("storage keys", "a key that no tensor names", "the keys of the pickle's storages") }
            let item = "storage '\(key)'"
            guard offset + 8 <= bytes.count, let count = Int(exactly: LittleEndian.u64(bytes, offset)) else {
                throw refuse(item, "no count of elements at byte \(offset)", "8 bytes")
            }
            offset += 8
            let (byteCount, overflow) = count.multipliedReportingOverflow(by: size)
            guard !overflow, byteCount <= bytes.count - offset else {
                throw refuse(
                    item, "\(count) elements at byte \(offset)", "at most the \(bytes.count - offset) bytes that follow"
                )
            }
            guard storages.updateValue((offset, count, size), forKey: key) == nil else {
                throw refuse("storage keys", "'\(key)' twice", "each once")
            }
            offset += byteCount
        }
        guard offset == bytes.count else {
            throw refuse("storages", "\(bytes.count - offset) bytes after the last", "a file of \(offset) bytes")
        }
    }

    /// Bytes of an element for each key that the pickle names, in tensors or beside them.
    private static func elementSizes(
        _ pickle: Pickle, _ bytes: UnsafeRawBufferPointer, place: String
    ) throws(CrayonError) -> [String: Int] {
        let reading = TorchTensorReading(pickle: pickle, bytes: bytes, place: place)
        var sizes: [String: Int] = [:]
        for index in pickle.nodes.indices {
            guard case .persistent = pickle.nodes[index] else { continue }
            let name = try reading.storage(PickleNode.Index(index), "pickle")
            guard sizes.updateValue(name.elementSize, forKey: name.key) ?? name.elementSize == name.elementSize else {
                throw CrayonError(
                    .malformed, in: place, item: "storage '\(name.key)'", found: "elements of two sizes",
                    expected: "one type for a storage")
            }
        }
        return sizes
    }

    func storage(_ name: TorchStorageName, _ item: String) throws(CrayonError) -> TorchStorage {
        guard let root = storages[name.key] else {
            throw CrayonError(
                .missing, in: place, item: item, found: "no storage '\(name.key)'", expected: "its values in the file")
        }
        let part = name.view.map { ($0.offset, $0.count) } ?? (0, name.count)
        // The count in the pickle is the root's, also where a view is meant.
        guard root.count == name.count, part.0 <= root.count, part.1 <= root.count - part.0 else {
            throw CrayonError(
                .malformed, in: place, item: item,
                found: "elements \(part.0) to \(part.0) + \(part.1) of a storage of \(root.count)",
                expected: "\(name.count) elements, as the pickle says, and a view inside them")
        }
        return TorchStorage(
            place: .mapped(root.offset + part.0 * root.elementSize), byteCount: part.1 * root.elementSize)
    }
}

import Bytes

/// Reads the parts of opcodes, and knows the place for its errors.
struct PickleCursor {
    let bytes: UnsafeRawBufferPointer
    let place: String
    /// What the stream is in the file, for messages.
    let item: String
    private(set) var offset: Int

    init(_ bytes: UnsafeRawBufferPointer, at offset: Int, place: String, item: String) {
        self.bytes = bytes
        self.offset = offset
        self.place = place
        self.item = item
    }

    func refuse(
        _ found: String, _ expected: String, _ code: CrayonError.Code = .malformed, advice: String? = nil
    ) -> CrayonError {
        CrayonError(
            code, in: place, item: "\(item), byte \(offset)", found: found, expected: expected, advice: advice)
    }

    private var isCut: CrayonError {
        refuse(
            "a pickle that is cut short", "a whole one, which ends in '.'",
            advice: "Copy or download the file again.")
    }

    mutating func byte() throws(CrayonError) -> UInt8 {
        guard offset < bytes.count else { throw isCut }
        defer { offset += 1 }
        return bytes[offset]
    }

    /// An unsigned little-endian number of 1, 2, 4 or 8 bytes, for counts and small integers.
    mutating func number(_ width: Int) throws(CrayonError) -> Int {
        let range = try run(width)
        var value: UInt64 = 0
        for index in range.reversed() { value = value << 8 | UInt64(bytes[index]) }
        guard let value = Int(exactly: value) else { throw refuse("a count past 63 bits", "one that fits the file") }
        return value
    }

    /// Passes over `count` bytes.
    mutating func run(_ count: Int) throws(CrayonError) -> Range<Int> {
        guard count <= bytes.count - offset else { throw isCut }
        defer { offset += count }
        return offset..<offset + count
    }

    /// A line without its end.
    mutating func line() throws(CrayonError) -> Range<Int> {
        guard let end = bytes[offset...].firstIndex(of: UInt8(ascii: "\n")) else { throw isCut }
        defer { offset = end + 1 }
        return offset..<end
    }

    func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
}

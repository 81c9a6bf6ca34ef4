/// Reads the wire form of a protocol buffer, field by field, trusting nothing.
struct ProtobufCursor {
    enum Value {
        case integer(UInt64)
        case fixed64(UInt64)
        case fixed32(UInt32)
        case bytes(UnsafeRawBufferPointer)
    }

    struct Field {
        var number: Int
        var value: Value
    }

    /// What is wrong, for the caller to put its file's name to.
    struct Malformed: Error {
        var reason: String
    }

    private let buffer: UnsafeRawBufferPointer
    private var position = 0

    init(_ buffer: UnsafeRawBufferPointer) { self.buffer = buffer }

    /// The next field, or nil at the end.
    mutating func next() throws(Malformed) -> Field? {
        guard position < buffer.count else { return nil }
        let key = try varint()
        guard let number = Int(exactly: key >> 3), number > 0 else {
            throw Malformed(reason: "a field numbered \(key >> 3) at byte \(position)")
        }
        switch key & 7 {
        case 0: return Field(number: number, value: .integer(try varint()))
        case 1: return Field(number: number, value: .fixed64(try fixed(UInt64.self)))
        case 2:
            let length = try varint()
            guard length <= UInt64(buffer.count - position) else {
                throw Malformed(reason: "a field of \(length) bytes with \(buffer.count - position) left")
            }
            let bytes = UnsafeRawBufferPointer(rebasing: buffer[position..<position + Int(length)])
            position += Int(length)
            return Field(number: number, value: .bytes(bytes))
        case 5: return Field(number: number, value: .fixed32(try fixed(UInt32.self)))
        default: throw Malformed(reason: "wire type \(key & 7) at byte \(position)")
        }
    }

    private mutating func varint() throws(Malformed) -> UInt64 {
        var result: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard position < buffer.count else { throw Malformed(reason: "the end inside a number") }
            let byte = buffer[position]
            position += 1
            result |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return result }
        }
        throw Malformed(reason: "a number of more than 10 bytes at byte \(position)")
    }

    private mutating func fixed<T: FixedWidthInteger>(_ type: T.Type) throws(Malformed) -> T {
        let size = MemoryLayout<T>.size
        guard buffer.count - position >= size else { throw Malformed(reason: "the end inside a number") }
        let value = buffer.loadUnaligned(fromByteOffset: position, as: T.self)
        position += size
        return T(littleEndian: value)
    }
}

import Bytes

/// Reads a pickle: the stack machine of Python's `pickle` with its opcodes, and none of its powers.
///
/// Nothing is imported, called or built. A global is an index into `PickleGlobals.table` or an error; applying one makes a node
/// that says so. Every opcode does work in proportion to the bytes that it takes or the values that it pops, makes at most one
/// node and puts each value into one place, so time and memory are linear in the stream whatever its values share.
struct PickleMachine {
    /// Opcodes of one stream. A tensor takes some 40, so this is a checkpoint of 200 thousand; memory stays below 512 MiB.
    static let opcodeLimit = 1 << 23
    /// Bytes of one stream: offsets of texts are kept in 32 bits.
    static let byteLimit = 1 << 28

    var cursor: PickleCursor
    var pickle = Pickle()
    var stack: [PickleNode.Index] = []
    /// Heights of the stack.
    var marks: [Int] = []
    var memo: [UInt32: PickleNode.Index] = [:]
    /// Pairs that were copied from lists, which may be the same list again and again.
    var copied = 0

    /// - Parameters:
    ///   - bytes: the stream from `offset` on; it may be followed by something else.
    ///   - item: what the stream is, for messages.
    static func read(
        _ bytes: UnsafeRawBufferPointer, at offset: Int = 0, place: String, item: String
    ) throws(CrayonError) -> Pickle {
        let window = UnsafeRawBufferPointer(rebasing: bytes.prefix(offset + byteLimit))
        var machine = PickleMachine(cursor: PickleCursor(window, at: offset, place: place, item: item))
        try machine.run()
        machine.pickle.range = offset..<machine.cursor.offset
        return machine.pickle
    }

    private init(cursor: PickleCursor) { self.cursor = cursor }

    private mutating func run() throws(CrayonError) {
        var count = 0
        while true {
            count += 1
            guard count <= Self.opcodeLimit else {
                throw cursor.refuse("a pickle of more than \(Self.opcodeLimit) opcodes", "fewer", .unsupported)
            }
            let code = try cursor.byte()
            guard let opcode = PickleOpcode(rawValue: code) else {
                throw cursor.refuse("0x\(String(code, radix: 16))", "an opcode of pickle protocols 0 to 5")
            }
            if opcode == .stop { break }
            try step(opcode)
        }
        guard stack.count == 1, marks.isEmpty else {
            throw cursor.refuse("\(stack.count) values at the end", "one")
        }
        pickle.root = stack[0]
    }
}

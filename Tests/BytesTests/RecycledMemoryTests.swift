import Bytes
import Testing

@Suite struct RecycledMemoryTests {
    /// A buffer that is no more leaves its memory to the next one of its size, as far as the limit allows.
    @Test func reuse() {
        let memory = RecycledMemory(limit: 100)
        func address(_ count: Int) -> UnsafeMutableRawPointer {
            ByteBuffer(uninitialized: count, from: memory).pointer
        }
        let first = address(60)
        #expect(address(60) == first)
        // Two at a time are two.
        var one: ByteBuffer? = ByteBuffer(uninitialized: 40, from: memory)
        let two = ByteBuffer(uninitialized: 40, from: memory)
        #expect(one?.pointer != two.pointer)
        let pointer = one?.pointer
        one = nil
        #expect(address(40) == pointer)
        // A region keeps its buffer alive.
        let region = ByteBuffer(uninitialized: 40, from: memory).region
        #expect(region.baseAddress == pointer.map { UnsafeRawPointer($0) })
        #expect(ByteBuffer(uninitialized: 40, from: memory).pointer != pointer)
        #expect(UInt(bitPattern: two.pointer) % UInt(ByteBuffer.alignment) == 0)
    }
}

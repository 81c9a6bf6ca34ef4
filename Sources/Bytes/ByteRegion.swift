#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Immutable bytes together with what keeps them alive: a mapped file or an allocation.
///
/// Copying a region copies a pointer and a reference, never the bytes. Validate a region once where it
/// is made; code that receives one may rely on `buffer` for as long as it holds the region.
public struct ByteRegion: @unchecked Sendable {
    // @unchecked: the memory is never written after a region over it is made, but for weights that learn: the optimizer
    // writes those between two passes.
    private let owner: AnyObject
    /// The bytes; valid while this value, or another region with the same owner, lives.
    public let buffer: UnsafeRawBufferPointer

    public init(owner: AnyObject, buffer: UnsafeRawBufferPointer) {
        self.owner = owner
        self.buffer = buffer
    }

    /// A region over a private copy of `bytes`.
    public init(copying bytes: some Collection<UInt8>) {
        let storage = ByteBuffer(count: bytes.count)
        UnsafeMutableRawBufferPointer(start: storage.pointer, count: storage.count).copyBytes(from: bytes)
        self = storage.region
    }

    public var count: Int { buffer.count }

    /// The first byte. An empty region has an address too, one that may not be read.
    public var baseAddress: UnsafeRawPointer { buffer.baseAddress ?? ByteRegion.emptyAddress }

    /// A copy of the bytes.
    public var array: [UInt8] { [UInt8](buffer) }

    /// - Precondition: `offset` and `count` lie inside the region.
    public func slice(offset: Int, count: Int) -> ByteRegion {
        precondition(offset >= 0 && count >= 0 && offset <= self.count && count <= self.count - offset)
        return ByteRegion(owner: owner, buffer: UnsafeRawBufferPointer(rebasing: buffer[offset..<offset + count]))
    }

    private static var emptyAddress: UnsafeRawPointer { UnsafeRawPointer(bitPattern: ByteBuffer.alignment)! }
}

/// Writable memory, zeroed and aligned for SIMD loads, that is frozen into a `ByteRegion` once filled.
public final class ByteBuffer: @unchecked Sendable {
    // @unchecked: whoever fills the buffer coordinates its writers, as with any output buffer.

    /// A cache line, and the widest vector register.
    public static let alignment = 64

    public let pointer: UnsafeMutableRawPointer
    public let count: Int
    private let memory: RecycledMemory?

    public convenience init(count: Int) {
        self.init(uninitialized: count)
        pointer.initializeMemory(as: UInt8.self, repeating: 0, count: max(count, 1))
    }

    /// Memory that holds anything, for those who fill all of it.
    /// - Parameter memory: where it comes from, and goes back to.
    public init(uninitialized count: Int, from memory: RecycledMemory? = nil) {
        precondition(count >= 0)
        self.count = count
        self.memory = memory
        pointer = memory?.take(count) ?? Self.allocate(count)
    }

    /// From this size on, memory is asked for in huge pages: filling fresh pages of 4 KiB costs more than the numbers that are
    /// put in them, and reading them misses the processor's page tables.
    private static let hugePageThreshold = 4 << 20
    private static let hugePage = 2 << 20

    private static func allocate(_ count: Int) -> UnsafeMutableRawPointer {
        guard count >= hugePageThreshold else { return .allocate(byteCount: max(count, 1), alignment: alignment) }
        let pointer = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: hugePage)
        #if os(Linux)
            // Whole pages only, so that none reaches past the end. A kernel that has none to give goes on as before.
            madvise(pointer, count / hugePage * hugePage, MADV_HUGEPAGE)
        #endif
        return pointer
    }

    deinit {
        if let memory { memory.give(pointer, count) } else { pointer.deallocate() }
    }

    public var bytes: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(start: pointer, count: count) }

    /// The contents as a region that keeps this buffer alive; write no more after taking it.
    public var region: ByteRegion {
        ByteRegion(owner: self, buffer: UnsafeRawBufferPointer(start: pointer, count: count))
    }
}

import Synchronization

/// Memory of buffers that are no more, for new ones of the same size: fresh pages cost the operating system as much time as
/// filling them costs a kernel. For jobs that make one result after the other, most of them of a few sizes.
public final class RecycledMemory: Sendable {
    private struct Free: @unchecked Sendable {
        // @unchecked: memory that nobody uses.
        let pointer: UnsafeMutableRawPointer
        let count: Int
    }

    private let limit: Int
    private let free = Mutex<[Free]>([])

    /// - Parameter limit: bytes that are kept at most.
    public init(limit: Int) { self.limit = limit }

    deinit { free.withLock { for memory in $0 { memory.pointer.deallocate() } } }

    func take(_ count: Int) -> UnsafeMutableRawPointer? {
        free.withLock { free in
            guard let index = free.lastIndex(where: { $0.count == count }) else { return nil }
            return free.remove(at: index).pointer
        }
    }

    func give(_ pointer: UnsafeMutableRawPointer, _ count: Int) {
        let spare = Free(pointer: pointer, count: count)
        let dropped = free.withLock { free in
            free.append(spare)
            var dropped: [Free] = []
            // The oldest first.
            while free.reduce(0, { $0 + $1.count }) > limit { dropped.append(free.removeFirst()) }
            return dropped
        }
        for memory in dropped { memory.pointer.deallocate() }
    }
}

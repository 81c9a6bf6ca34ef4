import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Where files are mapped, in memory that a signal handler can walk: which address belongs to which file.
///
/// Slots sit in blocks that are never given back, each twice as large as the one before. A slot is filled field by
/// field and published by its start, which is stored last and cleared first.
enum MappedRanges {
    /// What a handler needs to know of a mapping.
    struct Found {
        /// The file as the user named it; nil where there was no memory for a copy.
        var path: UnsafePointer<CChar>?
        var descriptor: Int32
        /// Bytes that were mapped.
        var count: Int
    }

    private struct Slot: ~Copyable {
        /// Zero in a free slot.
        let start = Atomic<UInt>(0)
        let count = Atomic<Int>(0)
        let descriptor = Atomic<Int32>(-1)
        let path = Atomic<UnsafeMutablePointer<CChar>?>(nil)
    }

    private static let firstBlock = 256
    private static let blockLimit = 20
    private typealias Block = Atomic<UnsafeMutablePointer<Slot>?>
    nonisolated(unsafe) private static let blocks: UnsafeMutablePointer<Block> = {
        let blocks = UnsafeMutablePointer<Block>.allocate(capacity: blockLimit)
        for index in 0..<blockLimit { (blocks + index).initialize(to: Block(nil)) }
        return blocks
    }()
    /// Free slots, by block and place in it, and how many blocks there are.
    private static let spare = Mutex<(free: [(Int, Int)], blocks: Int)>(([], 0))

    /// A mapping's slot.
    struct Handle: Sendable {
        fileprivate var block: Int
        fileprivate var index: Int
    }

    private static let page = UInt(sysconf(Int32(_SC_PAGESIZE)))

    /// Makes what a handler reads, so that it is not made in the handler.
    static func prepare() { _ = (blocks, page) }

    /// - Returns: nil when there is no slot left, with millions of files mapped; their faults are not told apart then.
    static func add(start: UInt, count: Int, descriptor: Int32, path: String) -> Handle? {
        spare.withLock { spare in
            if spare.free.isEmpty, spare.blocks < blockLimit {
                let size = firstBlock << spare.blocks
                let slots = UnsafeMutablePointer<Slot>.allocate(capacity: size)
                for index in 0..<size { (slots + index).initialize(to: Slot()) }
                blocks[spare.blocks].store(slots, ordering: .releasing)
                let block = spare.blocks
                spare.free = (0..<size).reversed().map { (block, $0) }
                spare.blocks += 1
            }
            guard let (block, index) = spare.free.popLast(), let slots = blocks[block].load(ordering: .acquiring) else {
                return nil
            }
            slots[index].path.store(strdup(path), ordering: .relaxed)
            slots[index].descriptor.store(descriptor, ordering: .relaxed)
            slots[index].count.store(count, ordering: .relaxed)
            slots[index].start.store(start, ordering: .releasing)
            return Handle(block: block, index: index)
        }
    }

    /// Forgets a mapping that is about to go, when nobody reads it any more.
    static func remove(_ handle: Handle) {
        spare.withLock { spare in
            guard let slots = blocks[handle.block].load(ordering: .acquiring) else { return }
            slots[handle.index].start.store(0, ordering: .sequentiallyConsistent)
            free(slots[handle.index].path.exchange(nil, ordering: .sequentiallyConsistent))
            spare.free.append((handle.block, handle.index))
        }
    }

    /// The mapping that an address lies in. Async-signal-safe.
    static func find(_ address: UInt) -> Found? {
        for block in 0..<blockLimit {
            guard let slots = blocks[block].load(ordering: .acquiring) else { return nil }
            for index in 0..<firstBlock << block {
                let start = slots[index].start.load(ordering: .acquiring)
                let count = slots[index].count.load(ordering: .relaxed)
                // The last page is mapped to its end; what follows it may be another file's.
                guard start != 0, address >= start, (address - start) / page < (UInt(count) + page - 1) / page else {
                    continue
                }
                return Found(
                    path: UnsafePointer(slots[index].path.load(ordering: .relaxed)),
                    descriptor: slots[index].descriptor.load(ordering: .relaxed), count: count)
            }
        }
        return nil
    }
}

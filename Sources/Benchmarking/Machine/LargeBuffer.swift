import Kernels

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Memory that no cache holds, in the largest pages that the system gives.
final class LargeBuffer: @unchecked Sendable {
    // @unchecked: each piece is one thread's.

    /// Pieces that threads take: a multiple of every page size, and long enough for the prefetchers.
    private static let piece = 8 << 20
    /// Longer ones for copies: memcpy goes past the caches from some length on.
    private static let copiedPiece = 32 << 20

    let pointer: UnsafeMutableRawPointer
    /// Many times the last cache, and not more of the memory than others can spare.
    let count: Int

    init() {
        let wanted = max(512 << 20, 8 * Machine.lastLevelCache)
        count = min(wanted, max(Machine.memoryBytes / 16, 128 << 20)) / Self.piece * Self.piece
        pointer = .allocate(byteCount: count, alignment: 2 << 20)
        #if os(Linux)
            madvise(pointer, count, MADV_HUGEPAGE)
        #endif
        Parallel.forEachRange(of: count, size: Self.piece) { range in
            (pointer + range.lowerBound).initializeMemory(as: UInt8.self, repeating: 0x5A, count: range.count)
        }
    }

    deinit { pointer.deallocate() }

    /// Reads all of it on all threads.
    /// - Returns: a sum, so that no compiler leaves the reading out.
    func read() -> UInt64 {
        Parallel.mapRanges(of: count, size: Self.piece) { range in
            Self.sum(pointer + range.lowerBound, count: range.count)
        }.reduce(0, &+)
    }

    /// Copies all of another on all threads.
    func copy(from other: LargeBuffer) {
        Parallel.forEachRange(of: min(count, other.count), size: Self.copiedPiece) { range in
            (pointer + range.lowerBound).copyMemory(from: other.pointer + range.lowerBound, byteCount: range.count)
        }
    }

    /// Four accumulators of 64 bytes, so that additions do not wait for each other.
    /// - Precondition: `count` is a multiple of 256.
    @inline(never)
    private static func sum(_ start: UnsafeMutableRawPointer, count: Int) -> UInt64 {
        typealias Line = SIMD8<UInt64>
        let lines = UnsafePointer(start.assumingMemoryBound(to: Line.self))
        var (a, b, c, d) = (Line.zero, Line.zero, Line.zero, Line.zero)
        var index = 0
        while index < count / 64 {
            a &+= lines[index]
            b &+= lines[index + 1]
            c &+= lines[index + 2]
            d &+= lines[index + 3]
            index += 4
        }
        return ((a &+ b) &+ (c &+ d)).wrappedSum()
    }
}

public import Bytes
import Foundation
import Kernels
import Tensors

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Rates of the disk under a folder: of one large file that is written and synced, dropped from the page cache, and read.
public struct DiskCeiling: Codable, Sendable {
    /// Bytes in a second.
    public var readRate: Double
    /// Bytes in a second, with the sync.
    public var writeRate: Double
    /// The share of the file that was still cached when it was read: 0 where the system dropped it as it was asked to.
    public var cachedShare: Double
    public var byteCount: Int

    private static let piece = 4 << 20

    public init(readRate: Double, writeRate: Double, cachedShare: Double, byteCount: Int) {
        self.readRate = readRate
        self.writeRate = writeRate
        self.cachedShare = cachedShare
        self.byteCount = byteCount
    }

    /// - Throws: `CrayonError` for a folder that cannot be written or read.
    public static func measure(folder: String, byteCount: Int) throws(CrayonError) -> DiskCeiling {
        let path = "\(folder)/crayon-disk-\(getpid())"
        let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .system(errno, in: path, while: "creating a file to measure the disk") }
        // Without a name from here on: nothing is left behind, whatever ends the process.
        unlink(path)
        defer { close(descriptor) }
        let pieces = max(1, byteCount / piece)
        let block = ByteBuffer(uninitialized: piece)
        var noise = SplitMix64(seed: 1)
        let words = block.pointer.assumingMemoryBound(to: UInt64.self)
        for index in 0..<piece / 8 { words[index] = noise.next() }
        let written = try Stopwatch.seconds { () throws(CrayonError) in
            for index in 0..<pieces {
                words[0] = UInt64(index)
                guard pwrite(descriptor, block.pointer, piece, off_t(index * piece)) == piece else {
                    throw .system(errno, in: folder, while: "writing a file to measure the disk")
                }
            }
            guard fsync(descriptor) == 0 else {
                throw .system(errno, in: folder, while: "syncing a file to measure the disk")
            }
        }
        // One reader, who has the system read ahead for him, and one for each core.
        var best = 0.0
        var cached = 0.0
        for threads in [1, Parallel.threadCount] {
            PageCache.drop(descriptor, count: pieces * piece)
            cached = max(cached, PageCache.residentShare(descriptor, count: pieces * piece))
            let before = Parallel.threadCount
            defer { Parallel.threadCount = before }
            Parallel.threadCount = threads
            let seconds = try Stopwatch.seconds { () throws(CrayonError) in
                try Parallel.forEach(count: pieces) { (index) throws(CrayonError) in
                    let target = ByteBuffer(uninitialized: piece)
                    guard pread(descriptor, target.pointer, piece, off_t(index * piece)) == piece else {
                        throw .system(errno, in: folder, while: "reading a file to measure the disk")
                    }
                }
            }
            best = max(best, Double(pieces * piece) / seconds)
        }
        return DiskCeiling(
            readRate: best, writeRate: Double(pieces * piece) / written, cachedShare: cached,
            byteCount: pieces * piece)
    }
}

/// What the operating system keeps of files in memory.
enum PageCache {
    /// Has a synced file leave the page cache.
    static func drop(_ descriptor: Int32, count: Int) {
        #if os(Linux)
            posix_fadvise(descriptor, 0, off_t(count), POSIX_FADV_DONTNEED)
        #endif
    }

    /// The same for all files of a folder, or for one file, which are synced first.
    static func drop(path: String) throws(CrayonError) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path))?.map { "\(path)/\($0)" } ?? [path]
        for name in names {
            let descriptor = open(name, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw .system(errno, in: name, while: "dropping it from the page cache") }
            defer { close(descriptor) }
            fsync(descriptor)
            drop(descriptor, count: 0)
        }
    }

    /// The share of a file's pages that are in memory; 0 where the system does not tell.
    static func residentShare(_ descriptor: Int32, count: Int) -> Double {
        #if os(Linux)
            let page = Int(sysconf(Int32(_SC_PAGESIZE)))
            guard count > 0, let map = mmap(nil, count, PROT_READ, MAP_SHARED, descriptor, 0), map != MAP_FAILED else {
                return 0
            }
            defer { munmap(map, count) }
            var pages = [UInt8](repeating: 0, count: (count + page - 1) / page)
            guard mincore(map, count, &pages) == 0 else { return 0 }
            return Double(pages.count { $0 & 1 == 1 }) / Double(pages.count)
        #else
            return 0
        #endif
    }
}

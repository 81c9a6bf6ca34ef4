#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What this process has asked of the system so far, where the tests' counting library is preloaded into it; otherwise nobody
/// counts, and nothing is slower for it.
struct ProcessCounts {
    var allocatedBytes: UInt64
    var startedThreads: UInt64

    /// Nil where nobody counts. Allocates nothing itself, but for the first time.
    static var present: ProcessCounts? {
        guard let allocated, let started else { return nil }
        return ProcessCounts(allocatedBytes: allocated(), startedThreads: started())
    }

    static func - (after: ProcessCounts, before: ProcessCounts) -> ProcessCounts {
        ProcessCounts(
            allocatedBytes: after.allocatedBytes - before.allocatedBytes,
            startedThreads: after.startedThreads - before.startedThreads)
    }

    private typealias Counter = @convention(c) () -> UInt64
    private static let allocated = counter("ccounts_allocated_bytes")
    private static let started = counter("ccounts_started_threads")

    private static func counter(_ name: String) -> Counter? {
        guard let program = dlopen(nil, RTLD_NOW), let symbol = dlsym(program, name) else { return nil }
        return unsafeBitCast(symbol, to: Counter.self)
    }
}

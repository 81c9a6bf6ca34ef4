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

    /// Nil where nobody counts.
    static var present: ProcessCounts? {
        guard let bytes = value("ccounts_allocated_bytes"), let threads = value("ccounts_started_threads") else {
            return nil
        }
        return ProcessCounts(allocatedBytes: bytes, startedThreads: threads)
    }

    private static func value(_ name: String) -> UInt64? {
        typealias Counter = @convention(c) () -> UInt64
        guard let program = dlopen(nil, RTLD_NOW), let symbol = dlsym(program, name) else { return nil }
        return unsafeBitCast(symbol, to: Counter.self)()
    }
}

public import Bytes
import Synchronization

/// Work split over cores. Results never depend on how many there are: a task is given by its index
/// alone, and nothing is summed across tasks.
public enum Parallel {
    private static let chosenThreadCount = Atomic<Int>(0)

    /// How many threads `forEach` uses: what was last set here, else the environment variable
    /// `CRAYON_THREADS`, else the cores that the process may use. At least 1.
    public static var threadCount: Int {
        get {
            let chosen = chosenThreadCount.load(ordering: .relaxed)
            return chosen > 0 ? chosen : defaultThreadCount
        }
        set { chosenThreadCount.store(max(newValue, 1), ordering: .relaxed) }
    }

    private static let defaultThreadCount = Environment.threads ?? AvailableCores.count

    /// Fails when `CRAYON_THREADS` is set to something that is not a positive number. Call it at start-up.
    public static func checkEnvironment() throws(CrayonError) {
        guard let text = Environment.value("CRAYON_THREADS"), Environment.threads == nil else { return }
        throw CrayonError(.usage, in: "CRAYON_THREADS", found: "'\(text)'", expected: "a positive number of threads")
    }

    /// Runs `body` once for every index below `count`, on all cores at once, and returns when all are done.
    ///
    /// The closure runs on several threads at the same time, the calling one among them: it may write only what belongs to its
    /// index, and must not use thread-bound state. It is not `@Sendable` because the buffers that it
    /// fills are unsafe pointers, which never are. Indices are handed out in ascending order as
    /// threads become free. When a body throws, no further index is begun, and the error of the lowest
    /// index that threw is rethrown.
    ///
    /// One loop at a time has all cores (`ThreadPool`): one that is begun from within a body, or while another thread's goes on,
    /// runs on its own thread until the cores are free.
    ///
    ///     Parallel.forEach(count: tiles) { tile in
    ///         weight.dequantizeRows(rows(of: tile), into: buffer(of: tile))
    ///     }
    public static func forEach<Failure: Error>(
        count: Int, _ body: (Int) throws(Failure) -> Void
    ) throws(Failure) {
        try ThreadPool.shared.forEach(count: count, threads: threadCount, body)
    }

    /// The same for a body that is a value, which spares the closure's allocation.
    public static func forEach(count: Int, _ body: some ParallelBody) {
        ThreadPool.shared.forEach(count: count, threads: threadCount, body)
    }

    /// What `body` gives for consecutive ranges of at most `size` that cover `0..<count`, in their order whatever the number
    /// of threads: what a sum over all cores is made of.
    public static func mapRanges<Result, Failure: Error>(
        of count: Int, size: Int, _ body: (Range<Int>) throws(Failure) -> Result
    ) throws(Failure) -> [Result] {
        precondition(size > 0)
        let tasks = (count + size - 1) / size
        let results = UnsafeMutableBufferPointer<Result?>.allocate(capacity: max(tasks, 0))
        results.initialize(repeating: nil)
        defer {
            results.deinitialize()
            results.deallocate()
        }
        try forEachRange(of: count, size: size) { (range) throws(Failure) in
            results[range.lowerBound / size] = try body(range)
        }
        return results.compactMap(\.self)
    }

    /// Runs `body` for consecutive ranges of at most `size` that cover `0..<count`; for cheap items. The
    /// ranges do not depend on the number of threads.
    public static func forEachRange<Failure: Error>(
        of count: Int, size: Int, _ body: (Range<Int>) throws(Failure) -> Void
    ) throws(Failure) {
        precondition(size > 0)
        try forEach(count: rangeCount(of: count, size: size)) { (index) throws(Failure) in
            try body(range(index, of: count, size: size))
        }
    }

    /// How many ranges `forEachRange` makes: for bodies that are values.
    public static func rangeCount(of count: Int, size: Int) -> Int { (count + size - 1) / size }

    /// One of them.
    public static func range(_ index: Int, of count: Int, size: Int) -> Range<Int> {
        index * size..<min((index + 1) * size, count)
    }
}

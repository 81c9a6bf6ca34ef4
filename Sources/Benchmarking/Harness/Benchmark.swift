public import Bytes

/// Something to time: a kernel on one shape, or a job.
public struct Benchmark: Sendable {
    public enum Group: String, Codable, Sendable, CaseIterable {
        case kernels
        case jobs
    }

    /// What a rate counts.
    public enum Unit: String, Codable, Sendable {
        case bytes
        case operations
        case parameters
        case tokens
        case pictures
        /// The time itself is what is of interest.
        case runs
    }

    /// A benchmark whose data are in memory.
    public struct Prepared {
        /// Types and extents: `bf16 14336 x 4096`.
        public let subject: String
        /// What one run gets done.
        public let amount: Double
        public let unit: Unit
        /// Nil where the machine sets none.
        public let floor: Floor?
        /// Done before each run, and not timed.
        let before: () throws(CrayonError) -> Void
        let run: () throws(CrayonError) -> Void

        init(
            _ subject: String, amount: Double, unit: Unit, floor: Floor? = nil,
            before: @escaping () throws(CrayonError) -> Void = { () throws(CrayonError) in },
            run: @escaping () throws(CrayonError) -> Void
        ) {
            self.subject = subject
            self.amount = amount
            self.unit = unit
            self.floor = floor
            self.before = before
            self.run = run
        }
    }

    public let name: String
    public let group: Group
    /// One line for a list.
    public let summary: String
    /// Whether the result is of interest on one thread, too.
    let comparesThreads: Bool
    let prepare: @Sendable () throws(CrayonError) -> Prepared

    init(
        _ name: String, _ group: Group, _ summary: String, comparesThreads: Bool = true,
        prepare: @escaping @Sendable () throws(CrayonError) -> Prepared
    ) {
        self.name = name
        self.group = group
        self.summary = summary
        self.comparesThreads = comparesThreads
        self.prepare = prepare
    }
}

extension [Benchmark] {
    /// Those that are named, by themselves or by their group, in the list's own order; all for an empty list.
    /// - Throws: `CrayonError` that lists what there is.
    public func selected(by words: [String], option: String = "--only") throws(CrayonError) -> [Benchmark] {
        guard !words.isEmpty else { return self }
        let groups = Benchmark.Group.allCases.map(\.rawValue)
        for word in words where !groups.contains(word) && !contains(where: { $0.name == word }) {
            throw CrayonError(
                .usage, in: option, found: "'\(word)'",
                expected: "one of \((groups + map(\.name)).joined(separator: ", "))")
        }
        return filter { words.contains($0.name) || words.contains($0.group.rawValue) }
    }
}

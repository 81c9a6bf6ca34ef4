public import Bytes
import Kernels

/// Prepares, warms up, repeats and times.
public struct BenchmarkRunner: Sendable {
    public let plan: TimingPlan
    /// All threads.
    public let threads: Int
    /// Whether what is worth it is timed on one thread, too.
    public let comparesThreads: Bool

    public init(plan: TimingPlan, threads: Int, comparesThreads: Bool = true) {
        precondition(threads > 0)
        self.plan = plan
        self.threads = threads
        self.comparesThreads = comparesThreads && threads > 1
    }

    /// Times one benchmark. All threads, one thread and passes of a probe that uses up what the floor is made of take turns, run by
    /// run, so that a neighbour who comes and goes meets all of them.
    /// - Throws: what the benchmark throws.
    public func run(_ benchmark: Benchmark, probe: CeilingProbe) throws(CrayonError) -> BenchmarkResult {
        let before = Parallel.threadCount
        defer { Parallel.threadCount = before }
        Parallel.threadCount = threads
        let prepared = try benchmark.prepare()
        let counts = comparesThreads && benchmark.comparesThreads ? [threads, 1] : [threads]
        let probed = (prepared.floor?.terms ?? []).map(\.resource).filter(CeilingProbe.resources.contains)
        var passes = [[Resource: [Double]]](repeating: [:], count: counts.count)
        let samples = try Self.alternate(counts.count, plan: plan) { (turn) throws(CrayonError) in
            try prepared.before()
            Parallel.threadCount = counts[turn]
            defer { Parallel.threadCount = threads }
            let seconds = try Stopwatch.seconds(prepared.run)
            for resource in probed { passes[turn][resource, default: []].append(probe.pass(resource)) }
            return seconds
        }
        let measurements = counts.indices.map { turn in
            BenchmarkResult.Measurement(
                threads: counts[turn], samples: samples[turn],
                ceilings: passes[turn].reduce(into: [:]) { rates, pass in
                    rates[pass.key] = probe.amount(of: pass.key) / Timing(pass.value).median
                })
        }
        return BenchmarkResult(
            name: benchmark.name, group: benchmark.group, subject: prepared.subject, amount: prepared.amount,
            unit: prepared.unit, floor: prepared.floor, all: measurements[0],
            one: measurements.count > 1 ? measurements[1] : nil)
    }

    /// Samples of several things that take turns, until each has what the plan asks for.
    /// - Parameter sample: given the index of the thing; seconds.
    static func alternate<Failure: Error>(
        _ count: Int, plan: TimingPlan, _ sample: (Int) throws(Failure) -> Double
    ) throws(Failure) -> [[Double]] {
        for _ in 0..<plan.warmUps { for turn in 0..<count { _ = try sample(turn) } }
        var samples = [[Double]](repeating: [], count: count)
        var sums = [Double](repeating: 0, count: count)
        while true {
            let due = (0..<count).filter { plan.goesOn(count: samples[$0].count, seconds: sums[$0]) }
            if due.isEmpty { return samples }
            for turn in due {
                let seconds = try sample(turn)
                samples[turn].append(seconds)
                sums[turn] += seconds
            }
        }
    }
}

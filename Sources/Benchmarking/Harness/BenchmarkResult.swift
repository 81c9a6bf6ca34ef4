/// What a benchmark measured.
public struct BenchmarkResult: Codable, Sendable {
    /// Runs on some number of threads.
    public struct Measurement: Codable, Sendable {
        public let threads: Int
        public let timing: Timing
        /// The median rate of each resource of the floor between these runs, on as many threads, where a probe can tell.
        public let ceilings: [Resource: Double]

        init(threads: Int, samples: [Double], ceilings: [Resource: Double]) {
            self.threads = threads
            self.ceilings = ceilings
            timing = Timing(samples)
        }
    }

    public let name: String
    public let group: Benchmark.Group
    public let subject: String
    /// What one run gets done, in `unit`.
    public let amount: Double
    public let unit: Benchmark.Unit
    public let floor: Floor?
    public let all: Measurement
    /// Nil where one thread was not timed.
    public let one: Measurement?

    /// How many times as fast all threads are; nil where one thread was not timed.
    public var speedup: Double? { one.map { $0.timing.median / all.timing.median } }

    /// Amount a second at the median.
    public func rate(_ measurement: Measurement) -> Double { amount / measurement.timing.median }

    /// Seconds of the floor at what the machine reached between the runs, a busy neighbour included; what was not measured
    /// then, the disk, at the given ceilings. Nil without a floor.
    public func floorSeconds(_ measurement: Measurement, ceilings: Ceilings) -> Double? {
        floor?.seconds(at: ceilings.rates(threads: measurement.threads).merging(measurement.ceilings) { $1 })
    }
}

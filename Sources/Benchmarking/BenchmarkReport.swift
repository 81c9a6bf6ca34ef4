/// A run of the benchmark: machine, ceilings, results. Its JSON form has keys in snake case.
public struct BenchmarkReport: Codable, Sendable {
    /// A result against the ceilings.
    public struct Line: Codable, Sendable {
        public struct Figures: Codable, Sendable {
            public var threads: Int
            public var runs: Int
            public var medianSeconds: Double
            public var lowestSeconds: Double
            public var highestSeconds: Double
            public var firstQuartileSeconds: Double
            public var thirdQuartileSeconds: Double
            /// In units a second, at the median.
            public var rate: Double
            /// At what the machine reached between the runs.
            public var floorSeconds: Double?
            /// Floor over median.
            public var shareOfFloor: Double?
        }

        public var name: String
        public var group: Benchmark.Group
        public var subject: String
        /// What one run gets done, in `unit`.
        public var amount: Double
        public var unit: Benchmark.Unit
        public var floor: Floor?
        public var all: Figures
        public var one: Figures?
        /// How many times as fast all threads are.
        public var speedup: Double?
    }

    public var machine: Machine
    public var threads: Int
    /// Before the first benchmark and after the last.
    public var measuredCeilings: [Ceilings]
    /// The higher of each.
    public var ceilings: Ceilings
    public var results: [Line]
    public var loadAtEnd: Double

    /// - Parameter ceilings: as measured, at least once.
    public init(machine: Machine, ceilings: [Ceilings], results: [BenchmarkResult]) {
        precondition(!ceilings.isEmpty)
        self.machine = machine
        measuredCeilings = ceilings
        let highest = ceilings.dropFirst().reduce(ceilings[0]) { $0.highest($1) }
        self.ceilings = highest
        threads = highest.threads
        loadAtEnd = Machine.loadAverage
        self.results = results.map { result in
            func figures(_ measurement: BenchmarkResult.Measurement) -> Line.Figures {
                let timing = measurement.timing
                let floor = result.floorSeconds(measurement, ceilings: highest)
                return Line.Figures(
                    threads: measurement.threads, runs: timing.count, medianSeconds: timing.median,
                    lowestSeconds: timing.lowest, highestSeconds: timing.highest,
                    firstQuartileSeconds: timing.firstQuartile, thirdQuartileSeconds: timing.thirdQuartile,
                    rate: result.rate(measurement),
                    floorSeconds: floor, shareOfFloor: floor.map { $0 / timing.median })
            }
            return Line(
                name: result.name, group: result.group, subject: result.subject, amount: result.amount,
                unit: result.unit, floor: result.floor, all: figures(result.all), one: result.one.map(figures),
                speedup: result.speedup)
        }
    }
}

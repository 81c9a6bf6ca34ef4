import Bytes

/// Repeated measurements of one thing, in seconds.
public struct Timing: Codable, Sendable, Equatable {
    public let count: Int
    public let median: Double
    public let lowest: Double
    public let highest: Double
    public let firstQuartile: Double
    public let thirdQuartile: Double

    /// - Precondition: at least one sample.
    public init(_ samples: [Double]) {
        precondition(!samples.isEmpty)
        let sorted = samples.sorted()
        count = sorted.count
        lowest = sorted[0]
        highest = sorted[sorted.count - 1]
        median = Timing.quantile(0.5, of: sorted)
        firstQuartile = Timing.quantile(0.25, of: sorted)
        thirdQuartile = Timing.quantile(0.75, of: sorted)
    }

    /// Between the two nearest samples, in proportion.
    private static func quantile(_ share: Double, of sorted: [Double]) -> Double {
        let position = share * Double(sorted.count - 1)
        let below = Int(position)
        let above = min(below + 1, sorted.count - 1)
        return sorted[below] + (sorted[above] - sorted[below]) * (position - Double(below))
    }
}

/// How long and how often something is repeated.
public struct TimingPlan: Sendable, Equatable {
    /// Runs that do not count.
    public var warmUps: Int
    public var minimumCount: Int
    /// Repeated until the runs that count took this long together.
    public var minimumSeconds: Double
    /// No further run is begun after this long, even where `minimumCount` is not reached.
    public var maximumSeconds: Double

    public init(warmUps: Int = 1, minimumCount: Int = 5, minimumSeconds: Double = 1, maximumSeconds: Double = 60) {
        self.warmUps = warmUps
        self.minimumCount = minimumCount
        self.minimumSeconds = minimumSeconds
        self.maximumSeconds = maximumSeconds
    }

    /// For a first look.
    public static let quick = TimingPlan(minimumCount: 3, minimumSeconds: 0.2, maximumSeconds: 5)

    /// Whether another run is due after runs that took `seconds`.
    public func goesOn(count: Int, seconds: Double) -> Bool {
        guard count > 0 else { return true }
        return seconds < maximumSeconds && (count < minimumCount || seconds < minimumSeconds)
    }
}

/// Times one run of something.
public enum Stopwatch {
    /// Wall-clock seconds that `body` takes.
    public static func seconds<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure) -> Double {
        let clock = ContinuousClock()
        let start = clock.now
        try body()
        return (clock.now - start).seconds
    }
}

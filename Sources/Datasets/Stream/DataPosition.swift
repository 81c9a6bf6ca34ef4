/// Where a stream of batches stands: small, and enough to go on with exactly the batches that would have come.
public struct DataPosition: Codable, Equatable, Sendable {
    /// What tells one stream from another: the data sets' names and sizes, their shares, the seed, the sizes of step and window.
    public internal(set) var stream: UInt64
    /// How many windows have been made before the present one.
    public internal(set) var window: Int
    /// Examples of each data set that were drawn before it.
    public internal(set) var drawn: [Int]
    /// Sequences of it that all ranks together have been given.
    public internal(set) var given: Int
    public internal(set) var counts: RecordCounts

    /// All that must be a sane count before anything is added to it.
    var numbers: [Int] {
        drawn + [
            window, given, counts.read, counts.brokenRecords, counts.tooLong, counts.completed, counts.brokenPictures,
        ]
    }
}

/// What has become of the records so far.
public struct RecordCounts: Codable, Equatable, Sendable {
    /// Records that were read for their text.
    public internal(set) var read = 0
    /// Of them, those that could not be used.
    public internal(set) var brokenRecords = 0
    /// Of them, those longer than the longest sequence allowed.
    public internal(set) var tooLong = 0
    /// Sequences that were completed with their pictures, by this rank.
    public internal(set) var completed = 0
    /// Of them, those whose picture could not be read.
    public internal(set) var brokenPictures = 0

    /// All that were left out.
    public var skipped: Int { brokenRecords + tooLong + brokenPictures }

    public init() {}
}

/// A record that was left out.
public struct SkippedRecord: Sendable, Equatable {
    public enum Reason: String, Sendable {
        case brokenRecord = "broken record"
        case brokenPicture = "broken picture"
        case tooLong = "too long"
    }

    public var reason: Reason
    /// The example's source: file and record.
    public var source: String
    /// What was wrong, in an error's words.
    public var text: String

    /// A line of a log.
    public var description: String { "\(reason.rawValue): \(text)" }
}

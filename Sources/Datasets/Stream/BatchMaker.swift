import Bytes
import Models

/// Makes one batch after the other. What comes depends on the data and the options alone: threads share work whose
/// results are then looked at in order.
///
/// Examples are drawn in windows. A window's sequences are sorted by length and cut into steps, whose order is shuffled. A
/// record that cannot be used, or is too long, is replaced by the next one while the window is drawn. A picture that
/// cannot be read is found out later, and leaves its batch one sequence shorter: nothing else moves, whoever reads it.
struct BatchMaker: Sendable {
    let mixture: DataMixture
    let encoder: ExampleEncoder
    let options: BatchOptions
    private let stream: UInt64
    var order: DataOrder
    var window: [EncodedExample] = []
    var windowNumber: Int
    private var drawnBefore: [Int]
    private var given: Int
    var counts: RecordCounts
    private var recent: [String] = []

    /// - Throws: `CrayonError` for options that make no sense, and for a position in another stream.
    init(
        _ mixture: DataMixture, _ encoder: ExampleEncoder, _ options: BatchOptions, from position: DataPosition?
    ) throws(CrayonError) {
        try options.validate()
        self.mixture = mixture
        self.encoder = encoder
        self.options = options
        stream = Self.identity(mixture, options)
        if let position {
            guard position.stream == stream, position.drawn.count == mixture.datasets.count,
                position.numbers.allSatisfy({ (0...1 << 48).contains($0) }),
                position.given % (options.batchSize * options.ranks) == 0,
                position.given < Self.windowSize(mixture, options)
            else {
                throw CrayonError(
                    .mismatch, in: "data", found: "other data or options than the run began with",
                    expected: "the same files, shares, seed, sequences of a step and window",
                    advice: "Give what the run was begun with.")
            }
        }
        order = DataOrder(mixture, seed: options.seed, drawn: position?.drawn)
        windowNumber = position?.window ?? 0
        drawnBefore = order.drawn
        given = position?.given ?? 0
        counts = position?.counts ?? RecordCounts()
    }

    /// - Throws: `CrayonError` when too many records or pictures are broken.
    mutating func next() throws(CrayonError) -> Batch {
        var skipped: [SkippedRecord] = []
        if window.isEmpty {
            let resumes = given > 0
            let before = counts
            skipped = try drawWindow(isNew: !resumes)
            if resumes {
                // What the window left out was counted and logged when it was begun.
                counts = before
                skipped = []
            }
        }
        let start = given + options.rank * options.batchSize
        let examples = Array(window[start..<start + options.batchSize])
        given += options.batchSize * options.ranks
        let completed = concurrent(examples.count) { [encoder] index in
            Result { () throws(CrayonError) in try encoder.complete(examples[index]) }
        }
        var batch = Batch(sequences: [], examples: [], skipped: skipped, position: position)
        for (example, result) in zip(examples, completed) {
            counts.completed += 1
            switch result {
            case .success(let sequence):
                batch.sequences.append(sequence)
                batch.examples.append(example.example)
            case .failure(let error):
                counts.brokenPictures += 1
                batch.skipped.append(
                    note(.brokenPicture, example.example.source, "\(example.example.source): \(error)"))
            }
        }
        try check(counts.brokenPictures, of: counts.completed, "pictures")
        if given == window.count {
            window = []
            windowNumber += 1
            drawnBefore = order.drawn
            given = 0
        }
        batch.position = position
        return batch
    }

    private var position: DataPosition {
        DataPosition(stream: stream, window: windowNumber, drawn: drawnBefore, given: given, counts: counts)
    }

    mutating func note(_ reason: SkippedRecord.Reason, _ source: String, _ text: String) -> SkippedRecord {
        recent = recent.suffix(2) + [text]
        return SkippedRecord(reason: reason, source: source, text: text)
    }

    func check(_ broken: Int, of read: Int, _ what: String) throws(CrayonError) {
        guard read >= options.brokenAfter, Double(broken) > options.mostBroken * Double(read) else { return }
        let names = Set(mixture.datasets.map(\.name)).sorted().joined(separator: ", ")
        throw CrayonError(
            .malformed, in: names, found: "\(broken) broken \(what) among the first \(read)",
            expected: "at most \(options.mostBroken * 100) %", advice: "The last: \(recent.joined(separator: " | "))")
    }
}

import Bytes
import Dispatch
import Models
import Synchronization
import Tensors

/// Makes one batch after the other. What comes depends on the data and the options alone: threads share work whose
/// results are then looked at in order.
///
/// Examples are drawn in windows. A window's sequences are sorted by length and cut into steps, whose order is shuffled. A
/// record that cannot be used, or is too long, is replaced by the next one while the window is drawn. A picture that
/// cannot be read is found out later, and leaves its batch one sequence shorter: nothing else moves, whoever reads it.
struct BatchMaker: Sendable {
    private let mixture: DataMixture
    private let encoder: ExampleEncoder
    private let options: BatchOptions
    private let stream: UInt64
    private var order: DataOrder
    private var window: [EncodedExample] = []
    private var windowNumber: Int
    private var drawnBefore: [Int]
    private var given: Int
    private var counts: RecordCounts
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

    private static func windowSize(_ mixture: DataMixture, _ options: BatchOptions) -> Int {
        // Not more than an epoch, so that few pictures come twice in one.
        let steps = min(options.windowSteps, max(1, mixture.examplesPerEpoch / options.step))
        return steps * options.step
    }

    /// Names without their folders: data may be moved between two runs.
    private static func identity(_ mixture: DataMixture, _ options: BatchOptions) -> UInt64 {
        let sets = zip(mixture.datasets, mixture.shares).map { set, share in
            "\(set.name.split(separator: "/").last ?? "") \(set.count) \(share)"
        }
        let text = (sets + ["\(options.seed) \(options.step) \(windowSize(mixture, options))"]).joined(separator: "\n")
        var generator = SplitMix64(seed: 0, name: text)
        return generator.next()
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

    private mutating func drawWindow(isNew: Bool) throws(CrayonError) -> [SkippedRecord] {
        let size = Self.windowSize(mixture, options)
        var found: [EncodedExample] = []
        var skipped: [SkippedRecord] = []
        var drawn = 0
        while found.count < size {
            let items = (0..<size - found.count).map { _ in order.next() }
            drawn += items.count
            let read = concurrent(items.count) { [encoder, datasets = mixture.datasets] index in
                Result { () throws(CrayonError) in
                    let item = items[index]
                    return try encoder.encode(datasets[item.dataset].example(item.index, epoch: item.epoch))
                }
            }
            for result in read {
                counts.read += 1
                switch result {
                case .success(let example):
                    if let most = encoder.maxLength, example.positions > most {
                        counts.tooLong += 1
                        let source = example.example.source
                        skipped.append(
                            SkippedRecord(
                                reason: .tooLong, source: source,
                                text: "\(source): \(example.positions) positions, more than \(most)"))
                    } else {
                        found.append(example)
                    }
                case .failure(let error):
                    counts.brokenRecords += 1
                    skipped.append(note(.brokenRecord, error.place, "\(error)"))
                }
            }
            if isNew { try check(counts.brokenRecords, of: counts.read, "records") }
            guard drawn <= 20 * size + 1000 else {
                throw CrayonError(
                    .usage, in: "data", found: "\(found.count) of \(drawn) records that can be used",
                    expected: "more", advice: "Allow longer sequences: the last was \(skipped.last?.text ?? "broken").")
            }
        }
        window = sorted(found)
        return skipped
    }

    private func sorted(_ examples: [EncodedExample]) -> [EncodedExample] {
        guard examples.count > options.step else { return examples }
        let byLength = examples.indices.sorted {
            (examples[$0].positions, $0) < (examples[$1].positions, $1)
        }
        var generator = SplitMix64(seed: options.seed, name: "steps \(windowNumber)")
        return generator.permutation(of: examples.count / options.step).flatMap { step in
            byLength[Int(step) * options.step..<(Int(step) + 1) * options.step].map { examples[$0] }
        }
    }

    private mutating func note(_ reason: SkippedRecord.Reason, _ source: String, _ text: String) -> SkippedRecord {
        recent = recent.suffix(2) + [text]
        return SkippedRecord(reason: reason, source: source, text: text)
    }

    private func check(_ broken: Int, of read: Int, _ what: String) throws(CrayonError) {
        guard read >= options.brokenAfter, Double(broken) > options.mostBroken * Double(read) else { return }
        let names = Set(mixture.datasets.map(\.name)).sorted().joined(separator: ", ")
        throw CrayonError(
            .malformed, in: names, found: "\(broken) broken \(what) among the first \(read)",
            expected: "at most \(options.mostBroken * 100) %", advice: "The last: \(recent.joined(separator: " | "))")
    }

    /// What `body` gives for each index, in order.
    private func concurrent<T: Sendable>(_ count: Int, _ body: @Sendable (Int) -> T) -> [T] {
        guard options.workers > 1, count > 1 else { return (0..<count).map(body) }
        let results = Mutex([T?](repeating: nil, count: count))
        let next = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: min(options.workers, count)) { _ in
            while true {
                let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < count else { return }
                let result = body(index)
                results.withLock { $0[index] = result }
            }
        }
        return results.withLock { $0.compactMap(\.self) }
    }
}

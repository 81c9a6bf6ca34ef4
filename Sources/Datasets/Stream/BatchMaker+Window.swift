import Bytes
import Dispatch
import Synchronization
import Tensors

/// Windows: examples drawn together, sorted by length and cut into steps.
extension BatchMaker {
    mutating func drawWindow(isNew: Bool) throws(CrayonError) -> [SkippedRecord] {
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

    func sorted(_ examples: [EncodedExample]) -> [EncodedExample] {
        guard examples.count > options.step else { return examples }
        let byLength = examples.indices.sorted {
            (examples[$0].positions, $0) < (examples[$1].positions, $1)
        }
        var generator = SplitMix64(seed: options.seed, name: "steps \(windowNumber)")
        return generator.permutation(of: examples.count / options.step).flatMap { step in
            byLength[Int(step) * options.step..<(Int(step) + 1) * options.step].map { examples[$0] }
        }
    }

    static func windowSize(_ mixture: DataMixture, _ options: BatchOptions) -> Int {
        // Not more than an epoch, so that few pictures come twice in one.
        let steps = min(options.windowSteps, max(1, mixture.examplesPerEpoch / options.step))
        return steps * options.step
    }

    /// Names without their folders: data may be moved between two runs.
    static func identity(_ mixture: DataMixture, _ options: BatchOptions) -> UInt64 {
        let sets = zip(mixture.datasets, mixture.shares).map { set, share in
            "\(Folder.lastPart(of: set.name)) \(set.count) \(share)"
        }
        let text = (sets + ["\(options.seed) \(options.step) \(windowSize(mixture, options))"]).joined(separator: "\n")
        var generator = SplitMix64(seed: 0, name: text)
        return generator.next()
    }

    /// What `body` gives for each index, in order.
    func concurrent<T: Sendable>(_ count: Int, _ body: @Sendable (Int) -> T) -> [T] {
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

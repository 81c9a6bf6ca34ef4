import Bytes
import Datasets
import Foundation
import Models
import Testing

@Suite struct StreamTests {
    /// What a stream gives, in short: the tokens of each batch's sequences.
    static func tokens(
        _ count: Int, _ options: BatchOptions, from position: DataPosition? = nil,
        mixture: DataMixture? = nil, maxLength: Int? = nil
    ) throws -> [[[Int]]] {
        let mixture = try mixture ?? DataMixture(Fixtures.instructions())
        let stream = try BatchStream(
            mixture, encoder: Fixtures.encoder(maxLength: maxLength), options: options, from: position)
        return try (0..<count).map { _ in try stream.next().sequences.map(\.input.tokens) }
    }

    @Test func threadsChangeNothing() throws {
        let plain = try Self.tokens(12, BatchOptions(batchSize: 3, windowSteps: 4, seed: 7, ahead: 0))
        #expect(plain.flatMap(\.self).count == 36)
        for (ahead, workers) in [(0, 3), (1, 1), (4, 2)] {
            let options = BatchOptions(batchSize: 3, windowSteps: 4, seed: 7, ahead: ahead, workers: workers)
            #expect(try Self.tokens(12, options) == plain)
        }
        #expect(try Self.tokens(12, BatchOptions(batchSize: 3, windowSteps: 4, seed: 8)) != plain)
    }

    /// Every picture once in an epoch.
    @Test func anEpochIsWhole() throws {
        let stream = try BatchStream(
            DataMixture(Fixtures.instructions()), encoder: Fixtures.encoder(), options: BatchOptions(batchSize: 4))
        for _ in 0..<3 {
            var pictures: Set<String> = []
            for _ in 0..<6 { for example in try stream.next().examples { pictures.insert(example.source) } }
            #expect(pictures.count == 24)
        }
    }

    @Test func goesOnWhereItStood() throws {
        let options = BatchOptions(batchSize: 2, sequencesPerStep: 4, windowSteps: 3, seed: 3)
        let whole = try Self.tokens(20, options)
        let stream = try BatchStream(
            DataMixture(Fixtures.instructions()), encoder: Fixtures.encoder(), options: options)
        for done in 1...12 {
            let position = try stream.next().position
            let copy = try JSONDecoder().decode(DataPosition.self, from: JSONEncoder().encode(position))
            #expect(copy == position)
            #expect(try Self.tokens(20 - done, options, from: copy) == Array(whole[done...]), "after \(done)")
        }
    }

    @Test func anotherStreamsPositionIsRefused() throws {
        let stream = try BatchStream(DataMixture(Fixtures.instructions()), encoder: Fixtures.encoder())
        let position = try stream.next().position
        #expect(throws: CrayonError.self) { try Self.tokens(1, BatchOptions(seed: 1), from: position) }
        #expect(throws: CrayonError.self) {
            try Self.tokens(1, BatchOptions(sequencesPerStep: 2), from: position)
        }
    }

    /// The same step, whoever computes which part of it.
    @Test func ranksShareSteps() throws {
        func options(_ batchSize: Int, _ rank: Int, of ranks: Int) -> BatchOptions {
            BatchOptions(batchSize: batchSize, sequencesPerStep: 4, windowSteps: 3, seed: 5, rank: rank, ranks: ranks)
        }
        let whole = try Self.tokens(6, options(4, 0, of: 1))
        #expect(try Self.tokens(12, options(2, 0, of: 1)).flatMap(\.self) == whole.flatMap(\.self))
        let first = try Self.tokens(6, options(2, 0, of: 2))
        let second = try Self.tokens(6, options(2, 1, of: 2))
        #expect(zip(first, second).map { $0 + $1 } == whole)
        let alternating = try (0..<2).map { try Self.tokens(12, options(1, $0, of: 2)) }
        #expect(zip(alternating[0], alternating[1]).flatMap { $0 + $1 } == whole.flatMap(\.self))
    }

    /// Lengths within a step lie closer together than those of the window.
    @Test func stepsHaveOneLength() throws {
        let options = BatchOptions(batchSize: 4, windowSteps: 6, seed: 1)
        let bucketed = try Self.tokens(6, options).map { $0.map(\.count) }
        let plain = try Self.tokens(6, BatchOptions(batchSize: 4, windowSteps: 1, seed: 1)).map { $0.map(\.count) }
        func padding(_ batches: [[Int]]) -> Int {
            batches.reduce(0) { sum, lengths in sum + lengths.reduce(0) { $0 + ((lengths.max() ?? 0) - $1) } }
        }
        #expect(bucketed.flatMap(\.self).sorted() == plain.flatMap(\.self).sorted())
        #expect(padding(bucketed) * 3 < padding(plain))
    }

    @Test func mixturesKeepTheirShares() throws {
        try withFolder { folder in
            let path = "\(folder)/lines.jsonl"
            try write(
                (0..<10).map { "{\"prompt\": \"Where is \($0)?\", \"answer\": \"Yes\"}" }.joined(separator: "\n"),
                to: path)
            let lines = try TextLines(path: path)
            let mixture = try DataMixture([lines, Fixtures.instructions()], weights: [1, 3])
            #expect(mixture.examplesPerEpoch == 40)
            let stream = try BatchStream(
                mixture, encoder: Fixtures.encoder(), options: BatchOptions(batchSize: 8, windowSteps: 5))
            var kinds: [String: Int] = [:]
            var prompts: Set<String> = []
            for _ in 0..<5 {
                for example in try stream.next().examples {
                    kinds[example.pictures.isEmpty ? "lines" : "pictures", default: 0] += 1
                    if example.pictures.isEmpty { prompts.insert(example.exchanges[0].question) }
                }
            }
            #expect(kinds == ["lines": 10, "pictures": 30])
            #expect(prompts.count == 10)
            // Without weights each set is gone through once.
            #expect(try DataMixture([lines, Fixtures.instructions()]).examplesPerEpoch == 34)
        }
    }

    @Test func tooLongIsLeftOut() throws {
        let all = try Self.tokens(6, BatchOptions(batchSize: 4))
        let limit = 110
        let stream = try BatchStream(
            DataMixture(Fixtures.instructions()), encoder: Fixtures.encoder(maxLength: limit),
            options: BatchOptions(batchSize: 4))
        var tooLong = 0
        for _ in 0..<6 {
            let batch = try stream.next()
            #expect(batch.sequences.count == 4)
            // One picture's placeholder stands for 64 positions.
            #expect(batch.sequences.allSatisfy { $0.input.tokens.count + 63 <= limit })
            tooLong += batch.skipped.count { $0.reason == .tooLong }
            #expect(batch.position.counts.tooLong == tooLong)
        }
        #expect(tooLong > 0)
        #expect(all.flatMap(\.self).contains { $0.count + 63 > limit })
        #expect(throws: CrayonError.self) { try Self.tokens(1, BatchOptions(), maxLength: 10) }
    }
}

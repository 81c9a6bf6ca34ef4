import Architecture
import Bytes
import Foundation
import JSON
import Models
import Tensors
import Training

/// Least squares in the guise of a model: a sequence's first token is a seed for a point, its labels count as targets.
final class Toy: GradientSource {
    let learned: LearnedTensors
    /// Updates whose gradient becomes NaN.
    var broken: Set<Int> = []
    /// What of a point is dropped.
    var dropout = 0.0

    static let sizes = [33, 4099]

    init(seed: UInt64 = 1) {
        var generator = SplitMix64(seed: seed)
        let names = ["crayon.semantic.weight", "projectors.image.0.weight"]
        learned = LearnedTensors(
            zip(names, Toy.sizes).map { name, size in
                let values = (0..<size).map { _ in Float(generator.uniform() - 0.5) }
                return LearnedTensor(
                    role: Role(name), shape: Shape([1, size]), value: Matrix(rows: 1, columns: size, values: values))
            })
    }

    func accumulate(_ batch: [TrainingSequence], update: Int, microBatch: Int) throws(CrayonError) -> LossSum {
        var sum = LossSum()
        for (index, sequence) in batch.enumerated() {
            var generator = SplitMix64(seed: UInt64(sequence.input.tokens[0]), name: "point")
            var mask = SplitMix64(seed: UInt64(update) << 32 | UInt64(microBatch) << 8 | UInt64(index), name: "dropout")
            for _ in 0..<sequence.targetCount {
                var point: [Float] = []
                var error: Float = 0
                for tensor in learned.tensors {
                    for element in 0..<tensor.value.count {
                        let x = mask.uniform() < dropout ? 0 : Float(generator.uniform() - 0.5) / 8
                        point.append(x)
                        error += x * tensor.value.pointer[element] - x
                    }
                }
                sum.loss += Double(error * error) / 2
                var base = 0
                for tensor in learned.tensors {
                    for element in 0..<tensor.value.count {
                        tensor.gradient.pointer[element] += error * point[base + element]
                    }
                    base += tensor.value.count
                }
            }
            sum.targets += sequence.targetCount
            sum.positions += sequence.input.tokens.count
        }
        if broken.contains(update) { learned.tensors[1].gradient.pointer[7] = .nan }
        return sum
    }

    /// From the weights that are right for every point: ones.
    var distance: Double {
        learned.tensors.flatMap(\.value.values).reduce(0) { $0 + Double(($1 - 1) * ($1 - 1)) }.squareRoot()
    }

    var bytes: [UInt8] { learned.tensors.flatMap { $0.value.tensor(named: "", shape: $0.shape).region.array } }
}

/// Sequences of one to four targets, batch by batch, of which a rank gets its own.
struct ToyBatches: BatchSource {
    /// In batches of all ranks.
    struct Position: Codable, Sendable, Equatable { var given: Int }

    var batchSize = 2
    var rank = 0
    var ranks = 1
    var round = 0
    /// After so many rounds it fails.
    var failsAfter: Int?

    init(from position: Position?, batchSize: Int = 2, rank: Int = 0, ranks: Int = 1) {
        round = (position?.given ?? 0) / ranks
        (self.batchSize, self.rank, self.ranks) = (batchSize, rank, ranks)
    }

    mutating func next() throws(CrayonError) -> SourcedBatch<Position> {
        if let failsAfter, round >= failsAfter {
            throw CrayonError(.malformed, in: "toy.json", found: "a broken record")
        }
        let first = (round * ranks + rank) * batchSize
        round += 1
        let sequences = (first..<first + batchSize).map { index in
            let labels = [TrainingSequence.ignored] + (0...index % 4).map { _ in 1 }
            return TrainingSequence(
                input: ModelInput(tokens: [index] + labels.dropFirst().map { _ in 0 }), labels: labels)
        }
        return SourcedBatch(sequences: sequences, position: Position(given: round * ranks))
    }
}

/// A folder that goes when the test is over.
final class TestFolder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "crayon-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }
    func bytes(_ name: String) throws -> [UInt8] { try [UInt8](Data(contentsOf: URL(filePath: file(name)))) }
    func names(_ folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: file(folder)).sorted()
    }

    /// A log's lines without the times.
    func lines(_ name: String) throws -> [String] {
        String(decoding: try bytes(name), as: UTF8.self).split(separator: "\n").map {
            String($0).replacing(/, "seconds": [0-9.e-]+/, with: "")
        }
    }
}

extension TrainingPlan {
    /// Four batches of two an update, 12 updates, a checkpoint every 5.
    static var toy: TrainingPlan {
        var plan = TrainingPlan(stage: "toy", learns: [.init("crayon", rate: 3e-3), .init("projectors.image")])
        (plan.rate, plan.finalRate, plan.sequences, plan.batchSize) = (1e-2, 1e-4, 8, 2)
        (plan.length, plan.warmup) = (.updates(12), .updates(2))
        (plan.checkpointEvery, plan.evaluateEvery, plan.sampleEvery, plan.weightDecay) = (5, 4, 6, 0.1)
        return plan
    }

    static var toy8bit: TrainingPlan {
        var plan = TrainingPlan.toy
        plan.optimizer.states = .blockwise8
        return plan
    }
}

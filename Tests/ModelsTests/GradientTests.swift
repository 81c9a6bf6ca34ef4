import Architecture
import Bytes
import Checkpoints
import Foundation
import JSON
import Kernels
import Models
import Tensors
import Testing

/// Gradients against the published code's and autograd's, made by `Scripts/reference/gradient_fixtures.py`.
@Suite struct GradientTests {
    struct Entry: Sendable, CustomStringConvertible {
        let test: Case
        let file: String
        let probe: String
        let isQuantized: Bool
        let adapters: [String]?

        var description: String { file }

        static let all: [Entry] = {
            do {
                return try JSONReader(file: Fixtures.path("gradients.json")).objects("gradients").map { entry in
                    let name = try entry.string("case")
                    return try Entry(
                        test: #require(Case.all.first { $0.name == name }), file: entry.string("file"),
                        probe: entry.string("probe"), isQuantized: entry.bool("nf4"),
                        adapters: entry.optionalArray("adapters") == nil ? nil : entry.strings("adapters"))
                }
            } catch {
                return []
            }
        }()

        /// What learns is all that can.
        func open() throws -> (model: TrainableModel, sequence: TrainingSequence, expected: SafetensorsFile) {
            let source = try test.open()
            let expected = try SafetensorsFile(path: Fixtures.path(file))
            var recorded = try Probe(SafetensorsFile(path: Fixtures.path(probe)), for: source.configuration)
            let labels = try #require(expected.tensor("labels")).integers(in: file)
            recorded = Probe(
                place: recorded.place, input: recorded.input, positions: recorded.positions, logits: recorded.logits,
                labels: labels)
            let roles = Set(expected.names.filter { $0 != "labels" && $0 != "loss" }.map { Role($0) })
            let model = try TrainableModel(
                source: isQuantized ? QuantizedSource(source) : source, learning: roles,
                options: .init(lowRankSets: adapters))
            return (model, try TrainingSequence(recorded, for: source.configuration), expected)
        }
    }

    @Test func entriesAreRead() { #expect(Entry.all.count == 5) }

    @Test(arguments: Entry.all, [GradientCheckpointing.off, .every(1)])
    func everyTensor(_ entry: Entry, checkpointing: GradientCheckpointing) throws {
        let (model, sequence, expected) = try entry.open()
        let loss = try model.accumulate([sequence], options: .init(checkpointing: checkpointing))
        model.learned.scaleGradients(by: 1 / Float(loss.targets))
        let mean = Double(try #require(expected.tensor("loss")).floats[0])
        #expect((loss.loss / Double(loss.targets) - mean).magnitude < 1e-5 * mean)
        #expect(model.learned.tensors.count == expected.names.count - 2)
        for learned in model.learned.tensors {
            let reference = try #require(expected.tensor(learned.role.rawValue))
            let matrix = Matrix(
                rows: learned.gradient.rows, columns: learned.gradient.columns, values: reference.floats)
            // 1.7e-6 is the worst of the golden case; float32 alone costs up to 1e-5 in the others.
            if matrix.values.allSatisfy({ $0 == 0 }) {
                // Behind the last attention nothing reads image positions any more.
                #expect(learned.gradient.values.allSatisfy { $0 == 0 }, "\(learned.role)")
                continue
            }
            let error = relativeError(learned.gradient, matrix)
            #expect(error < 5e-5, "\(learned.role): \(error)")
        }
    }

    /// Every policy computes the same numbers, and the number of cores changes none.
    @Test func checkpointingAndThreadsLeaveTheBytes() async throws {
        await #expect(processExitsWith: .success) {
            let entry = try #require(Entry.all.first { $0.test.name == "parts" })
            var seen: Set<[[Float]]> = []
            for (threads, policy) in [(1, GradientCheckpointing.off), (2, .every(1)), (3, .every(2)), (5, .every(9))] {
                Parallel.threadCount = threads
                let (model, sequence, _) = try entry.open()
                try model.accumulate([sequence], options: .init(checkpointing: policy, dropout: 0.3, key: 7))
                seen.insert(model.learned.tensors.map(\.gradient.values))
            }
            #expect(seen.count == 1)
        }
    }

    /// Sequences side by side do not see each other: a batch gives the sum of what each gives alone.
    @Test func batchIsTheSumOfItsSequences() throws {
        let entry = try #require(Entry.all.first { $0.test.name == "collavo-grouped" })
        let (model, first, _) = try entry.open()
        let second = TrainingSequence(
            input: ModelInput(tokens: [1, 5, 9, 3]), labels: [TrainingSequence.ignored, 5, TrainingSequence.ignored, 3])
        let alone = try [first, second].map { sequence in
            model.learned.clearGradients()
            let loss = try model.accumulate([sequence])
            return (loss: loss, gradients: model.learned.tensors.map { $0.gradient.copy() })
        }
        model.learned.clearGradients()
        let together = try model.accumulate([first, second])
        #expect((together.loss - alone[0].loss.loss - alone[1].loss.loss).magnitude < 1e-6 * together.loss)
        #expect(together.targets == alone[0].loss.targets + 2)
        #expect(together.positions == alone[0].loss.positions + 4)
        for (index, learned) in model.learned.tensors.enumerated() {
            let sum = alone[0].gradients[index].copy()
            for element in 0..<sum.count { sum.pointer[element] += alone[1].gradients[index].pointer[element] }
            #expect(relativeError(learned.gradient, sum) < 1e-5, "\(learned.role)")
        }
        #expect((try model.loss([first, second]).loss - together.loss).magnitude < 1e-9 * together.loss)
    }

    /// The slope of the loss along a random direction, dropout included: the same draws go forward and back.
    @Test(arguments: ["collavo-grouped", "parts", "llama-lora"], [0.0, 0.25])
    func finiteDifferences(name: String, dropout: Double) throws {
        let entry = try #require(Entry.all.first { $0.test.name == name && !$0.isQuantized })
        let (model, sequence, _) = try entry.open()
        let options = TrainableModel.PassOptions(dropout: dropout, key: 99)
        model.learned.clearGradients()
        try model.accumulate([sequence], options: options)
        var generator = SplitMix64(seed: 5)
        var slope = 0.0
        let directions = model.learned.tensors.map { learned in
            let direction = (0..<learned.value.count).map { _ in Float(generator.uniform() - 0.5) }
            for (index, step) in direction.enumerated() { slope += Double(step * learned.gradient.pointer[index]) }
            return direction
        }
        func loss(_ step: Float) throws -> Double {
            for (learned, direction) in zip(model.learned.tensors, directions) {
                for (index, value) in direction.enumerated() { learned.value.pointer[index] += step * value }
            }
            defer {
                for (learned, direction) in zip(model.learned.tensors, directions) {
                    for (index, value) in direction.enumerated() { learned.value.pointer[index] -= step * value }
                }
            }
            return try model.accumulate([sequence], options: options).loss
        }
        // Larger steps see the curvature, smaller ones rounding.
        let step: Float = 1e-4
        let measured = (try loss(step) - loss(-step)) / Double(2 * step)
        #expect((measured - slope).magnitude < 5e-3 * slope.magnitude, "\(measured) for \(slope)")
    }

    @Test func whatCannotLearnIsRefused() throws {
        let source = try #require(Case.all.first { $0.name == "collavo-grouped" }).open()
        #expect(throws: CrayonError.self) {
            try TrainableModel(source: source, learning: [.backbone(0, .qkv)])
        }
        // The published seg pair of w2 is carried without effect.
        #expect(throws: CrayonError.self) {
            try TrainableModel(source: source, learning: [.adapter("crayon", 0, .down, .a)])
        }
        #expect(throws: CrayonError.self) {
            try LearnablePart("adapters:none").roles(
                of: source.configuration, activeSets: ["image"], in: source.place)
        }
        #expect(throws: CrayonError.self) { try LearnablePart("backbone") }
    }

    @Test func inputsThatDoNotFitAreErrors() throws {
        let entry = try #require(Entry.all.first { $0.test.name == "llama-lora" })
        let (model, _, _) = try entry.open()
        let vocabulary = model.model.configuration.backbone.vocabularySize
        for sequence in [
            TrainingSequence(input: ModelInput(tokens: []), labels: []),
            TrainingSequence(input: ModelInput(tokens: [1, 2]), labels: [-100, vocabulary]),
            TrainingSequence(input: ModelInput(tokens: [1, -3]), labels: [-100, 2]),
        ] {
            #expect(throws: CrayonError.self) { try model.accumulate([sequence]) }
        }
        // Nothing to predict is no error, and leaves no trace.
        model.learned.clearGradients()
        let loss = try model.accumulate([TrainingSequence(input: ModelInput(tokens: [1, 2]), labels: [1, -100])])
        #expect(loss == .init(loss: 0, targets: 0, positions: 2))
        #expect(model.learned.tensors.allSatisfy { $0.gradient.values.allSatisfy { $0 == 0 } })
    }
}

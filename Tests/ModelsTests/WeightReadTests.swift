import Architecture
import Bytes
import Checkpoints
import Layers
import Models
import Tensors
import Testing

/// How often weights are read: what a pass costs, as a count.
@Suite struct WeightReadTests {
    /// Which weights were read how often while `body` ran; those that were not are left out.
    private func reads(_ model: VisionLanguageModel, _ body: () throws -> Void) rethrows -> [Role: Int] {
        let before = model.weightReads
        try body()
        return model.weightReads.merging(before) { $0 - $1 }.filter { $0.value != 0 }
    }

    /// The matrices of the blocks and the head.
    private func backbone(_ model: VisionLanguageModel) -> Set<Role> {
        let parameters = model.configuration.parameters.filter { $0.part == .backbone && $0.isMatrix }
        return Set(parameters.map(\.role)).union([.head])
    }

    private func state(_ model: VisionLanguageModel, _ tokens: Int) throws -> DecoderState {
        let state = model.makeState()
        _ = try model.prefill(try model.embed(ModelInput(tokens: Array(1...tokens))), state: state)
        return state
    }

    static let models = ["golden", "collavo-grouped", "mistral-window", "qwen2-window"]

    /// One step, a look-up of three tokens behind it, and a batch of up to four sequences: once each. What acts at pictures alone
    /// is not touched.
    @Test(arguments: models, [false, true]) func stepsReadEverythingOnce(_ name: String, isQuantized: Bool) throws {
        let source = try #require(Case.all.first { $0.name == name }).open()
        let model = try VisionLanguageModel(
            source: isQuantized ? QuantizedSource(source) : source,
            options: .init(arithmetic: isQuantized ? .int16 : .float32))
        let once = Dictionary(uniqueKeysWithValues: backbone(model).map { ($0, 1) })
        let sequence = try state(model, 5)
        #expect(try reads(model) { _ = try model.step(token: 3, state: sequence) } == once)
        #expect(try reads(model) { _ = try model.steps(tokens: [3, 9, 4, 7], state: sequence) } == once)

        let batch = model.makeBatch()
        let states = try (0..<9).map { try state(model, 2 + $0) }
        for count in 1...4 {
            let feeds = states.prefix(count).map { (tokens: [8], state: $0) }
            #expect(try reads(model) { _ = try model.steps(feeds, batch: batch) } == once, "\(count) sequences")
        }
        // One pass more for every four.
        let found = try reads(model) { _ = try model.steps(states.map { ([8], $0) }, batch: batch) }
        #expect(found == once.mapValues { _ in 3 })
    }

    /// A prompt reads everything once for 2048 positions, the head once for its last; a weight of too few outputs to occupy all
    /// cores once for each 128 rows instead, at most eight times.
    @Test func promptsReadEverythingOnceForManyRows() throws {
        let model = try VisionLanguageModel(
            source: try #require(Case.all.first { $0.name == "mistral-window" }).open())
        let names = backbone(model)
        for (tokens, passes) in [(3, 1), (40, 1), (127, 1), (300, 2), (2048, 8), (2048 + 3, 9), (2048 + 300, 10)] {
            let input = ModelInput(tokens: (0..<tokens).map { $0 % 50 })
            let found = try reads(model) { _ = try model.prefill(try model.embed(input), state: model.makeState()) }
            #expect(Set(found.keys) == names)
            #expect(found[.head] == 1)
            #expect(found.allSatisfy { $0.key == .head || $0.value == passes }, "\(tokens) tokens: \(found)")
        }
    }

    /// The tower and the projectors run once for all questions about a picture.
    @Test func aPictureIsSeenOnce() throws {
        let test = try #require(Case.all.first { $0.name == "collavo-grouped" })
        let model = try VisionLanguageModel(source: try test.open())
        let probe = try Probe(SafetensorsFile(path: Fixtures.path(test.probes[0].file)), for: model.configuration)
        try #require(!probe.input.images.isEmpty)
        let seeing = Set(
            model.configuration.parameters.filter { [.vision, .projectors].contains($0.part) }.map(\.role)
        ).intersection(model.weightReads.keys)
        let features = FeatureStore()
        let first = try reads(model) { _ = try model.embed(probe.input, features: features) }
        #expect(Set(first.keys) == seeing && first.values.allSatisfy { $0 == 1 })
        for _ in 0..<3 {
            #expect(try reads(model) { _ = try model.embed(probe.input, features: features) }.isEmpty)
        }
        #expect(features.computedCount == 1)
    }
}

import Architecture
import Bytes
import Checkpoints
import Tensors
import Testing

/// Every layout, recognised on a fixture of its own: what is read from its files, by hand.
@Suite struct LayoutTests {
    struct Expectation: Sendable, CustomTestStringConvertible {
        var fixture: String
        var layout: String
        var backbone: BackboneConfiguration
        /// Bound weights of each part.
        var counts: [Part: Int]
        var testDescription: String { fixture }
    }

    static let expectations: [Expectation] = [
        Expectation(
            fixture: "golden/collavo-tiny", layout: "collavo",
            backbone: .init(
                vocabularySize: 512, embeddingRows: 513, hiddenSize: 192, layerCount: 2, headCount: 6,
                keyValueHeadCount: 6, intermediateSize: 320, rope: .init(maxPositions: 512), attentionForm: .fused),
            counts: whole),
        Expectation(
            fixture: "collavo-grouped", layout: "collavo",
            backbone: .init(
                vocabularySize: 89, embeddingRows: 90, hiddenSize: 60, layerCount: 2, headCount: 6,
                keyValueHeadCount: 2, intermediateSize: 106, normEpsilon: 1e-6,
                rope: .init(base: 5000, maxPositions: 40, scaling: .dynamic(factor: 2)), attentionForm: .fused),
            counts: whole),
        Expectation(
            fixture: "internlm2-plain", layout: "internlm2",
            backbone: .init(
                vocabularySize: 77, hiddenSize: 48, layerCount: 2, headCount: 4, keyValueHeadCount: 2,
                intermediateSize: 100, rope: .init(base: 1e6, maxPositions: 32, scaling: .dynamic(factor: 3)),
                attentionForm: .fused),
            counts: text(perLayer: 7)),
        Expectation(
            fixture: "parts/backbone", layout: "internlm2",
            backbone: .init(
                vocabularySize: 69, hiddenSize: 48, layerCount: 2, headCount: 6, keyValueHeadCount: 3,
                intermediateSize: 76, rope: .init(base: 20000, maxPositions: 256), attentionForm: .fused,
                hasQueryKeyValueBias: true, hasOutputBias: true),
            counts: text(perLayer: 9)),
        Expectation(
            fixture: "llama-bias", layout: "internlm",
            backbone: .init(
                vocabularySize: 71, hiddenSize: 48, layerCount: 2, headCount: 3, keyValueHeadCount: 3,
                intermediateSize: 116, normEpsilon: 1e-6, rope: .init(maxPositions: 24, scaling: .dynamic(factor: 1)),
                attentionForm: .separate, hasQueryKeyValueBias: true, hasOutputBias: true),
            counts: text(perLayer: 13)),
        Expectation(
            fixture: "llama", layout: "llama",
            backbone: .init(
                vocabularySize: 83, hiddenSize: 48, layerCount: 2, headCount: 6, keyValueHeadCount: 2,
                intermediateSize: 92, rope: .init(maxPositions: 48, scaling: .dynamic(factor: 2)),
                attentionForm: .separate),
            counts: text(perLayer: 9)),
        Expectation(
            fixture: "llama-biases", layout: "llama",
            backbone: .init(
                vocabularySize: 67, hiddenSize: 40, layerCount: 2, headCount: 4, keyValueHeadCount: 4,
                intermediateSize: 70, normEpsilon: 1e-6, rope: .init(base: 5e5, maxPositions: 64),
                attentionForm: .separate, hasQueryKeyValueBias: true, hasOutputBias: true, hasMLPBias: true,
                isHeadTied: true),
            counts: text(perLayer: 16, head: false)),
        Expectation(
            fixture: "vicuna-linear-rope", layout: "llama",
            backbone: .init(
                vocabularySize: 79, hiddenSize: 48, layerCount: 2, headCount: 3, keyValueHeadCount: 3,
                intermediateSize: 84, rope: .init(maxPositions: 80, scaling: .linear(factor: 2.5)),
                attentionForm: .separate),
            counts: text(perLayer: 9)),
        Expectation(
            fixture: "mistral", layout: "llama",
            backbone: .init(
                vocabularySize: 73, hiddenSize: 44, layerCount: 2, headCount: 4, keyValueHeadCount: 2, headSize: 18,
                intermediateSize: 90, rope: .init(maxPositions: 256), attentionForm: .separate, slidingWindow: 4096),
            counts: text(perLayer: 9)),
        Expectation(
            fixture: "mistral-window", layout: "llama",
            backbone: .init(
                vocabularySize: 61, hiddenSize: 40, layerCount: 2, headCount: 4, keyValueHeadCount: 2,
                intermediateSize: 68, rope: .init(maxPositions: 256), attentionForm: .separate, slidingWindow: 8),
            counts: text(perLayer: 9)),
        Expectation(
            fixture: "qwen2", layout: "qwen2",
            backbone: .init(
                vocabularySize: 91, hiddenSize: 56, layerCount: 2, headCount: 4, keyValueHeadCount: 2,
                intermediateSize: 98, normEpsilon: 1e-6, rope: .init(base: 1e6, maxPositions: 128),
                attentionForm: .separate, hasQueryKeyValueBias: true, isHeadTied: true),
            counts: text(perLayer: 12, head: false)),
        Expectation(
            fixture: "qwen2-window", layout: "qwen2",
            backbone: .init(
                vocabularySize: 59, hiddenSize: 32, layerCount: 3, headCount: 4, keyValueHeadCount: 1,
                intermediateSize: 50, normEpsilon: 1e-6, rope: .init(base: 1e6, maxPositions: 128),
                attentionForm: .separate, hasQueryKeyValueBias: true, slidingWindow: 6, firstWindowedLayer: 1),
            counts: text(perLayer: 12, layers: 3)),
    ]

    /// Two layers everywhere; two low-rank sets on five linear layers.
    static let whole: [Part: Int] = [
        .vision: 3 + 2 + 2 * 16 + 2, .projectors: 8, .crayon: 2, .embeddings: 1, .backbone: 2 * 7 + 1, .head: 1,
        .adapters: 2 * 2 * 5 * 2,
    ]

    static func text(perLayer: Int, layers: Int = 2, head: Bool = true) -> [Part: Int] {
        let counts: [Part: Int] = [.embeddings: 1, .backbone: layers * perLayer + 1]
        return head ? counts.merging([.head: 1]) { $1 } : counts
    }

    @Test(arguments: expectations) func isRead(_ expected: Expectation) throws {
        let model = try CheckpointModel.open(FixtureModels.path(expected.fixture))
        #expect(model.configuration.layout == expected.layout)
        #expect(model.configuration.backbone == expected.backbone)
        var counts: [Part: Int] = [:]
        for binding in model.bindings { counts[binding.part, default: 0] += 1 }
        #expect(counts == expected.counts)
        #expect(model.unused.isEmpty)
        #expect(model.bindings.map(\.role) == model.configuration.parameters.map(\.role))
        for binding in model.bindings {
            #expect(binding.shape == binding.parameter.shape, "\(binding.role)")
            #expect(binding.entry.name == binding.sourceName && binding.origin == 0, "\(binding.role)")
        }
        #expect((model.configuration.vision == nil) == (expected.counts[.vision] == nil))
        #expect((model.configuration.crayon == nil) == (expected.counts[.vision] == nil))
    }

    @Test func published() throws {
        let golden = try CheckpointModel.open(
            FixtureModels.path("golden/collavo-tiny"), options: .init(visionHeadCount: 6)
        ).configuration
        let vision = try #require(golden.vision)
        #expect(vision.headCount == 6 && vision.activation == .quickGELU && vision.normEpsilon == 1e-5)
        #expect(vision.positionRows == 1 + vision.patchCount && vision.imageMean == VisionConfiguration.clipMean)
        let crayon = try #require(golden.crayon)
        #expect(crayon.semanticRows == 134 && crayon.numberingRows == 21 && crayon.entry == .lowRank)
        #expect(crayon.categories.count == 133 && crayon.categories.first?.name == "person")
        #expect(golden.lowRankSets.map(\.name) == ["image", "crayon"])
        #expect(golden.lowRankSets.map(\.input) == [.hidden, .crayon])
        #expect(
            golden.lowRankSets.allSatisfy { $0.scope == .image && $0.isActive && $0.scale(layer: 0, module: .qkv) == 1 }
        )
        // `w2` has a crayon pair in the file, which the published code does not use.
        #expect(golden.lowRankSets[0].modules == [.qkv, .output, .gate, .up, .down])
        #expect(golden.lowRankSets[1].modules == [.qkv, .output, .gate, .up])
        #expect(golden.tokens.begin == 1 && golden.tokens.end == [2] && golden.tokens.image == 512)
        #expect(golden.prompt == .demo)

        let grouped = try CheckpointModel.open(FixtureModels.path("collavo-grouped")).configuration
        #expect(
            grouped.vision
                == VisionConfiguration(
                    width: 30, layerCount: 2, headCount: 5, intermediateSize: 52, patchSize: 7, imageSize: 35,
                    positionRows: 26))
        #expect(grouped.lowRankSets.map(\.rank) == [5, 5] && grouped.tokens.image == 89)
    }

    /// Heads of the vision tower leave no trace in tensors.
    @Test func visionHeadsThatNothingTells() throws {
        let path = FixtureModels.path("golden/collavo-tiny")
        let model = try CheckpointModel.open(path)
        let width = try #require(model.configuration.vision?.width)
        #expect(width % 64 != 0 && model.configuration.vision?.headCount == 6)
        #expect(model.warnings.contains { $0.contains("--vision-heads") })
        #expect(try CheckpointModel.open(path, options: .init(visionHeadCount: 6)).warnings.isEmpty)
        let wrong = #expect(throws: CrayonError.self) {
            try CheckpointModel.open(path, options: .init(visionHeadCount: 7))
        }
        #expect(wrong?.place == "--vision-heads" && wrong?.expected?.contains("\(width)") == true)
    }

    @Test func layoutsAreToldByName() throws {
        let path = FixtureModels.path("llama")
        #expect(try CheckpointModel.open(path, options: .init(layout: "llama")).configuration.layout == "llama")
        // Qwen2 calls for biases, which this one has not.
        let error = #expect(throws: CrayonError.self) {
            try CheckpointModel.open(path, options: .init(layout: "qwen2"))
        }
        #expect(error?.code == .missing && error?.found.contains("self_attn.q_proj.bias") == true)
        let unknown = #expect(throws: CrayonError.self) {
            try CheckpointModel.open(path, options: .init(layout: "gpt2"))
        }
        #expect(unknown?.place == "--layout" && unknown?.expected?.contains("internlm2") == true)
        #expect(Set(Layout.all.map(\.name)).count == Layout.all.count)
        #expect(Layout.named("clip")?.content == .vision && Layout.named("nothing") == nil)
    }
}

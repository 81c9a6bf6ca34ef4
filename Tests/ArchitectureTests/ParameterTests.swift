import Architecture
import Foundation
import Tensors
import Testing

@Suite struct Parameters {
    static func model(_ form: BackboneConfiguration.AttentionForm) -> ModelConfiguration {
        ModelConfiguration(
            layout: "test",
            backbone: BackboneConfiguration(
                vocabularySize: 512, embeddingRows: 513, hiddenSize: 192, layerCount: 2, headCount: 6,
                keyValueHeadCount: 2, intermediateSize: 320, rope: RotaryConfiguration(maxPositions: 512),
                attentionForm: form, hasQueryKeyValueBias: form == .separate),
            vision: VisionConfiguration(
                width: 96, layerCount: 1, headCount: 6, intermediateSize: 192, patchSize: 14, imageSize: 84,
                positionRows: 37),
            crayon: CrayonConfiguration(
                width: 96, semanticRows: 3, numberingRows: 21, entry: .lowRank,
                categories: [
                    PanopticCategory(id: 1, name: "person", isThing: true),
                    PanopticCategory(id: 200, name: "rug", isThing: false),
                ]),
            lowRankSets: [
                LowRankSet(
                    name: "crayon", rank: 8, alpha: 16, modules: [.qkv, .output, .gate, .up], scope: .image,
                    input: .crayon)
            ],
            tokens: SpecialTokens(begin: 1, end: [2], image: 512), prompt: .paper)
    }

    @Test func rolesAreUniqueAndInTheirParts() {
        for form in [BackboneConfiguration.AttentionForm.fused, .separate] {
            let parameters = Self.model(form).parameters
            #expect(Set(parameters.map(\.role)).count == parameters.count)
            for parameter in parameters { #expect(parameter.role.part == parameter.part) }
        }
    }

    @Test func groupedHeadsNarrowTheFusedProjection() throws {
        let parameters = Self.model(.fused).parameters
        let qkv = try #require(parameters.first { $0.role == .backbone(0, .qkv) })
        #expect(qkv.shape.dims == [192 + 2 * 2 * 32, 192])
        #expect(!parameters.contains { $0.role == .backbone(0, .query) })
        let separate = Self.model(.separate).parameters
        #expect(separate.first { $0.role == .backbone(1, .key, .bias) }?.shape.dims == [64])
    }

    @Test func aPairThatDoesNotActIsOptional() throws {
        let parameters = Self.model(.fused).parameters
        let down = try #require(parameters.first { $0.role == .adapter("crayon", 0, .down, .a) })
        #expect(!down.isRequired)
        #expect(down.shape.dims == [8, 320])
        let gate = try #require(parameters.first { $0.role == .adapter("crayon", 0, .gate, .a) })
        #expect(gate.isRequired)
        #expect(gate.shape.dims == [8, 192])
    }

    @Test func configurationSurvivesJSON() throws {
        let model = Self.model(.fused)
        let data = try JSONEncoder().encode(model)
        #expect(try JSONDecoder().decode(ModelConfiguration.self, from: data) == model)
    }

    @Test func scaleFollowsRankAndExceptions() {
        var set = LowRankSet(name: "a", rank: 16, alpha: 32, modules: [.gate], scope: .all, input: .hidden)
        #expect(set.scale(layer: 0, module: .gate) == 2)
        set.isRankStabilized = true
        #expect(set.scale(layer: 0, module: .gate) == 8)
        set.exceptions["layers.1.mlp.gate"] = .init(rank: 4, alpha: 4)
        #expect(set.scale(layer: 1, module: .gate) == 2)
        #expect(set.rank(layer: 1, module: .gate) == 4)
    }
}

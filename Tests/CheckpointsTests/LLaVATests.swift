import Architecture
import Bytes
import Checkpoints
import Foundation
import Testing

/// LLaVA's two families of names, and what its config.json says beside sizes.
@Suite struct LLaVATests {
    @Test(arguments: ["llava", "llava-modules"]) func describesItself(name: String) throws {
        let model = try CheckpointModel.open(FixtureModels.path(name))
        let configuration = model.configuration
        #expect(configuration.layout == "llava")
        #expect(configuration.crayon == nil)
        #expect(configuration.prompt == .llava)
        #expect(configuration.tokens.begin == 1)
        #expect(configuration.tokens.end == [2])
        #expect(configuration.tokens.image == (name == "llava" ? 90 : 310))
        #expect(configuration.backbone.keyValueHeadCount == (name == "llava" ? 6 : 2))
        #expect(configuration.backbone.vocabularySize == (name == "llava" ? 96 : 320))
        let vision = try #require(configuration.vision)
        #expect(vision.layerCount == 3)
        #expect(vision.featureLayer == 2)
        #expect(vision.usedLayerCount == 2)
        #expect(vision.imageSize == 28)
        #expect(vision.resize == .cropCentre)
        // The last layer is carried, so that an export is whole.
        #expect(model.binding(.vision(2, "mlp.fc1", .weight)) != nil)
        #expect(model.unused.isEmpty)
        #expect(model.warnings.isEmpty)
    }

    @Test(arguments: [
        (#""vision_feature_select_strategy": "default""#, #""vision_feature_select_strategy": "full""#, "full"),
        (#""projector_hidden_act": "gelu""#, #""projector_hidden_act": "relu""#, "relu"),
        (#""vision_feature_layer": -2"#, #""vision_feature_layer": -9"#, "-9"),
        (#""vision_feature_layer": -2"#, #""vision_feature_layer": [-2, -5]"#, "several layers"),
        (#""model_type": "llama""#, #""model_type": "gemma""#, "gemma"),
        (#""model_type": "clip_vision_model""#, #""model_type": "siglip_vision_model""#, "siglip_vision_model"),
    ])
    func whatIsNotReadIsNamed(old: String, new: String, named: String) throws {
        let folder = TemporaryFolder()
        let source = FixtureModels.path("llava")
        let text = try String(contentsOfFile: "\(source)/config.json", encoding: .utf8)
        #expect(text.contains(old), "\(old)")
        folder.write(text.replacingOccurrences(of: old, with: new), "config.json")
        try FileManager.default.copyItem(
            atPath: source + "/model.safetensors", toPath: folder.file("model.safetensors"))
        let error = #expect(throws: CrayonError.self) { try CheckpointModel.open(folder.path) }
        #expect(error?.description.contains(named) == true, "\(String(describing: error))")
    }

    /// The features of another layer, counted from either end.
    @Test(arguments: [(-1, nil), (-3, 1), (1, 1), (3, nil), (0, 0)] as [(Int, Int?)])
    func featureLayers(said: Int, expected: Int?) throws {
        let folder = TemporaryFolder()
        let source = FixtureModels.path("llava")
        let text = try String(contentsOfFile: "\(source)/config.json", encoding: .utf8)
        folder.write(
            text.replacingOccurrences(
                of: #""vision_feature_layer": -2"#, with: #""vision_feature_layer": \#(said)"#), "config.json")
        try FileManager.default.copyItem(
            atPath: source + "/model.safetensors", toPath: folder.file("model.safetensors"))
        #expect(try CheckpointModel.open(folder.path).configuration.vision?.featureLayer == expected)
    }
}

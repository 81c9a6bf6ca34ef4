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

    /// LLaVA's model with a file that says how pictures are prepared.
    private func prepared(_ text: String, _ name: String = "preprocessor_config.json") throws -> CheckpointModel {
        let folder = TemporaryFolder()
        for file in ["config.json", "model.safetensors"] {
            try FileManager.default.copyItem(
                atPath: FixtureModels.path("llava") + "/" + file, toPath: folder.file(file))
        }
        folder.write(text, name)
        return try withExtendedLifetime(folder) { try CheckpointModel.open(folder.path) }
    }

    @Test func preparationIsRead() throws {
        let published =
            #"{"crop_size": {"height": 28, "width": 28}, "do_center_crop": true, "size": {"shortest_edge": 28}, "#
        let cut = try prepared(published + #""resample": 3, "image_std": [0.5, 0.25, 1]}"#)
        #expect(cut.configuration.vision?.resize == .cropCentre && cut.warnings.isEmpty)
        #expect(cut.configuration.vision?.imageStd == [0.5, 0.25, 1])
        let padded = try prepared(published + #""do_pad": true, "do_center_crop_": 1}"#)
        #expect(padded.configuration.vision?.resize == .pad && padded.warnings.isEmpty)
        // transformers 5 has it in another file.
        let newer = try prepared(
            #"{"image_processor": {"do_pad": true, "image_mean": [0.5, 0.5, 0.5]}, "patch_size": 14}"#,
            "processor_config.json")
        #expect(newer.configuration.vision?.resize == .pad)
        #expect(newer.configuration.vision?.imageMean == [0.5, 0.5, 0.5])
    }

    @Test(arguments: [
        (#"{"resample": 2}"#, "'resample' is 2"), (#"{"do_center_crop": false}"#, "'do_center_crop' is false"),
        (#"{"do_normalize": false}"#, "'do_normalize' is false"),
        (#"{"size": {"shortest_edge": 336}}"#, "'size.shortest_edge' is 336; the model sees 28 x 28"),
        (#"{"crop_size": 14}"#, "'crop_size' is 14"),
    ])
    func whatIsNotFollowedIsReported(text: String, named: String) throws {
        let model = try prepared(text)
        #expect(model.warnings.count == 1 && model.warnings.allSatisfy { $0.contains(named) }, "\(model.warnings)")
    }
}

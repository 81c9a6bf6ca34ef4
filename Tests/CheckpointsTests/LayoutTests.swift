import Architecture
import Bytes
import Checkpoints
import Tensors
import Testing

@Suite struct LayoutTests {
    @Test func dump() throws {
        for name in [
            "golden/collavo-tiny", "collavo-grouped", "internlm2-plain", "llama-bias", "llama", "llama-biases",
            "vicuna-linear-rope", "qwen2", "mistral", "mistral-window",
        ] {
            let m = try CheckpointModel.open(FixtureModels.path(name))
            print(name, m.configuration, m.bindings.count, m.unused, m.warnings, m.files.map(\.name))
        }
        let m = try CheckpointModel.open(
            CheckpointParts(
                backbone: FixtureModels.path("parts/backbone"), vision: FixtureModels.path("clip"),
                crayon: FixtureModels.path("parts/crayon.safetensors"),
                adapters: [
                    ("object", FixtureModels.path("parts/object")), ("language", FixtureModels.path("parts/language")),
                ]), options: .init(imageSize: 42))
        print(m.configuration, m.bindings.count, m.unused, m.warnings, m.files.map(\.name))
        let m2 = try CheckpointModel.open(
            CheckpointParts(backbone: FixtureModels.path("parts/backbone"), vision: FixtureModels.path("clip")))
        print(m2.configuration, m2.bindings.count, m2.unused.count, m2.warnings, m2.files.map(\.name))
    }
}

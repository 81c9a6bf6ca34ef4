import Architecture
import Bytes
import Checkpoints
import JSON
import Quantization
import Testing

/// `rope_freqs.weight` of a GGUF file.
@Suite struct GGUFFrequencyTests {
    private let folder = TemporaryFolder()

    /// The small Llama's heads have 8 elements, so 4 frequencies.
    private func open(
        _ factors: [Float], _ type: GGMLType = .f32, base: Float = 500_000, scaling: String = "none"
    ) throws -> CheckpointModel {
        let path = try GGUFModelTests.file(
            in: folder, replacing: scaling == "none" ? "llama.rope.freq_base" : "llama.rope.scaling.type",
            with: scaling == "none" ? .float32(base) : .string(scaling),
            vector: (name: GGUFFrequencies.name, type: type, values: factors))
        return try withExtendedLifetime(folder) { try CheckpointModel.open(path) }
    }

    private func scaling(of model: CheckpointModel) throws -> JSONReader {
        let config = try #require(model.file("config.json"))
        return try JSONReader(JSONValue.parse(config.region.buffer, name: "made"), place: "made").object(
            "rope_scaling")
    }

    @Test(arguments: [8.0, 32.0]) func publishedOnesAreRecognised(factor: Double) throws {
        let published = Llama3Scaling(
            factor: factor, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 8192)
        let rope = RotaryConfiguration(base: 500_000, maxPositions: 2048, scaling: .llama3(parameters: published))
        let factors = try #require(rope.frequencyDivisors(headSize: 8))
        #expect(factors.first == 1 && factors.last == Float(factor))
        let model = try open(factors)
        #expect(model.configuration.backbone.rope == rope)
        #expect(model.unused.isEmpty && model.warnings.allSatisfy { !$0.contains("rope") })
        let object = try scaling(of: model)
        #expect(try object.string("rope_type") == "llama3" && object.double("factor") == factor)
        #expect(try object.int("original_max_position_embeddings") == 8192)
    }

    @Test func othersAreKeptAsTheyAre() throws {
        let model = try open([1, 1.5, 2.25, 3])
        #expect(model.configuration.backbone.rope.scaling == .frequencies(factors: [1, 1.5, 2.25, 3]))
        let object = try scaling(of: model)
        #expect(try object.string("rope_type") == "longrope" && object.double("attention_factor") == 1)
        #expect(try object.doubles("short_factor") == [1, 1.5, 2.25, 3])
        #expect(try object.doubles("long_factor") == [1, 1.5, 2.25, 3])
    }

    @Test func onesAreNone() throws {
        #expect(try open([1, 1, 1, 1]).configuration.backbone.rope.scaling == .none)
    }

    @Test func whatIsNoListOfDivisorsIsRefused() throws {
        let cases: [([Float], GGMLType, String, String)] = [
            ([1, 2, 3], .f32, "none", "F32 of shape [3]; expected F32 of 4, half of a head"),
            ([1, 2, 3, 4], .f16, "none", "F16 of shape [4]; expected F32"),
            ([1, 2, 0, 4], .f32, "none", "0.0 at index 2; expected positive numbers"),
            ([1, 2, .nan, 4], .f32, "none", "nan at index 2"),
            ([1, -2, 3, .infinity], .f32, "none", "-2.0 at index 1"),
            ([1, 2, 3, 4], .f32, "yarn", "'yarn'"),
        ]
        for (factors, type, kind, text) in cases {
            let error = #expect(throws: CrayonError.self) { try open(factors, type, scaling: kind) }
            #expect(error?.description.contains(text) == true, "\(error?.description ?? "")")
        }
    }
}

import Architecture
import Bytes
import Checkpoints
import JSON
import Tensors
import Testing

@Suite struct LayoutTests {
    /// What tells a fixture's model from the others.
    struct Facts: Sendable, Equatable {
        var layout: String
        var heads: [Int]
        var form: BackboneConfiguration.AttentionForm = .separate
        /// Biases on query, key and value; on the output; in the MLP.
        var biases: [Bool] = [false, false, false]
        var isHeadTied = false
        var scaling: RotaryConfiguration.Scaling = .none
        var base = 10000.0
        var window: Int?
        var extraRows = 0
        var sets: [String] = []
        var image: Int?

        init(
            layout: String, heads: [Int], form: BackboneConfiguration.AttentionForm = .separate,
            biases: [Bool] = [false, false, false], isHeadTied: Bool = false,
            scaling: RotaryConfiguration.Scaling = .none, base: Double = 10000, window: Int? = nil, extraRows: Int = 0,
            sets: [String] = [], image: Int? = nil
        ) {
            self.layout = layout
            self.heads = heads
            self.form = form
            self.biases = biases
            self.isHeadTied = isHeadTied
            self.scaling = scaling
            self.base = base
            self.window = window
            self.extraRows = extraRows
            self.sets = sets
            self.image = image
        }

        init(_ model: ModelConfiguration) {
            let backbone = model.backbone
            self.init(
                layout: model.layout, heads: [backbone.headCount, backbone.keyValueHeadCount, backbone.headSize],
                form: backbone.attentionForm,
                biases: [backbone.hasQueryKeyValueBias, backbone.hasOutputBias, backbone.hasMLPBias],
                isHeadTied: backbone.isHeadTied, scaling: backbone.rope.scaling, base: backbone.rope.base,
                window: backbone.slidingWindow, extraRows: backbone.embeddingRows - backbone.vocabularySize,
                sets: model.lowRankSets.map { "\($0.name) \($0.rank) \($0.scope) \($0.input) \($0.modules.count)" },
                image: model.vision?.imageSize)
        }
    }

    static let facts: [String: Facts] = [
        "golden/collavo-tiny": Facts(
            layout: "collavo", heads: [6, 6, 32], form: .fused, extraRows: 1,
            sets: ["image 8 image hidden 5", "crayon 8 image crayon 4"], image: 84),
        "collavo-grouped": Facts(
            layout: "collavo", heads: [6, 2, 10], form: .fused, scaling: .dynamic(factor: 2), base: 5000, extraRows: 1,
            sets: ["image 5 image hidden 5", "crayon 5 image crayon 4"], image: 35),
        "internlm2-plain": Facts(
            layout: "internlm2", heads: [4, 2, 12], form: .fused, scaling: .dynamic(factor: 3), base: 1_000_000),
        "llama-bias": Facts(
            layout: "internlm", heads: [3, 3, 16], biases: [true, true, false], scaling: .dynamic(factor: 1)),
        "llama": Facts(layout: "llama", heads: [6, 2, 8], scaling: .dynamic(factor: 2)),
        "llama-biases": Facts(
            layout: "llama", heads: [4, 4, 10], biases: [true, true, true], isHeadTied: true, base: 500_000),
        "vicuna-linear-rope": Facts(layout: "llama", heads: [3, 3, 16], scaling: .linear(factor: 2.5)),
        "qwen2": Facts(
            layout: "qwen2", heads: [4, 2, 14], biases: [true, false, false], isHeadTied: true, base: 1_000_000),
        "mistral": Facts(layout: "llama", heads: [4, 2, 18], window: 4096),
        "mistral-window": Facts(layout: "llama", heads: [4, 2, 10], window: 8),
    ]

    @Test(arguments: facts.keys.sorted())
    func fixturesAreRecognised(name: String) throws {
        let model = try CheckpointModel.open(FixtureModels.path(name))
        #expect(Facts(model.configuration) == Self.facts[name])
        #expect(model.unused.isEmpty)
        // Every parameter that the configuration calls for is bound, once, with its shape.
        #expect(model.bindings.map(\.role) == model.configuration.parameters.map(\.role))
        #expect(model.bindings.allSatisfy { $0.tensor.shape == $0.parameter.shape })
        // Only the golden checkpoint leaves something open: how many heads its tower has.
        #expect(model.warnings.isEmpty || name == "golden/collavo-tiny" && model.warnings.count == 1)
        #expect(model.file("config.json") != nil)
    }

    @Test func partsOfTheirOwn() throws {
        let parts = CheckpointParts(
            backbone: FixtureModels.path("parts/backbone"), vision: FixtureModels.path("clip"),
            crayon: FixtureModels.path("parts/crayon.safetensors"),
            adapters: [
                ("object", FixtureModels.path("parts/object")), ("language", FixtureModels.path("parts/language")),
            ])
        let model = try CheckpointModel.open(parts, options: .init(imageSize: 42))
        #expect(
            Facts(model.configuration)
                == Facts(
                    layout: "internlm2", heads: [6, 3, 8], form: .fused, biases: [true, true, false], base: 20000,
                    sets: ["object 4 all hidden 5", "language 9 all hidden 3"], image: 42))
        #expect(model.configuration.crayon?.entry == .additive)
        #expect(model.configuration.tokens.image == 69)
        // CLIP's text tower and contrastive head are left out with a reason, and nothing else.
        #expect(model.unused.count == 23 && model.unused.allSatisfy { $0.reason != nil && $0.file.contains("clip/") })
        #expect(model.warnings.isEmpty)
        #expect(
            model.files.map(\.name) == [
                "config.json", "vision/config.json", "adapters/object/adapter_config.json",
                "adapters/language/adapter_config.json",
            ])
    }

    @Test func absentCrayonFileIsMadeFresh() throws {
        func open(seed: UInt64) throws -> CheckpointModel {
            try CheckpointModel.open(
                CheckpointParts(backbone: FixtureModels.path("parts/backbone"), vision: FixtureModels.path("clip")),
                options: .init(seed: seed))
        }
        let model = try open(seed: 1)
        #expect(model.warnings.count == 1 && model.warnings[0].contains("made fresh from seed 1"))
        let fresh = model.bindings.filter { model.origins[$0.origin].kind == .fresh }
        #expect(fresh.map(\.role.rawValue).allSatisfy { $0.hasPrefix("crayon.") || $0.hasPrefix("projectors.") })
        #expect(fresh.count == 10)
        func bytes(_ model: CheckpointModel) -> [UInt8]? { model.binding(.semanticTable)?.tensor.region.array }
        #expect(try bytes(model) == bytes(open(seed: 1)))
        #expect(try bytes(model) != bytes(open(seed: 2)))
    }

    /// A copy of the `llama` fixture with other tensors or another config.json.
    private func error(
        tensors change: ([Tensor]) -> [Tensor] = { $0 }, config: (inout JSONObject) -> Void = { _ in }
    ) throws -> CrayonError? {
        let source = FixtureModels.path("llama")
        let folder = TemporaryFolder()
        let checkpoint = try openCheckpoint(source)
        let tensors = checkpoint.names.compactMap { checkpoint.tensor($0) }
        try SafetensorsWriter.write(change(tensors), to: folder.file("model.safetensors"))
        var object = try JSONReader(file: "\(source)/config.json").object
        config(&object)
        folder.write(JSONValue.object(object).text(style: .compact), "config.json")
        do throws(CrayonError) {
            _ = try CheckpointModel.open(folder.path)
            return nil
        } catch {
            return error
        }
    }

    @Test func unchangedCopyOpens() throws { #expect(try error() == nil) }

    @Test func whatDoesNotFitIsNamed() throws {
        func expect(_ error: CrayonError?, _ text: String, sourceLocation: SourceLocation = #_sourceLocation) {
            #expect(
                error?.description.contains(text) == true, "\(String(describing: error))",
                sourceLocation: sourceLocation)
        }
        let up = "model.layers.1.mlp.up_proj.weight"
        expect(try error(tensors: { $0.filter { $0.name != up } }), "1 tensor missing: '\(up)'")
        expect(
            try error(tensors: {
                $0.map {
                    $0.name == up
                        ? Tensor(name: up, shape: Shape([2, 2]), values: [Float](repeating: 0, count: 4)) : $0
                }
            }),
            "tensor '\(up)': shape [2, 2]; expected [92, 48]")
        expect(
            try error(tensors: {
                $0.map {
                    $0.name == up
                        ? Tensor(name: up, shape: $0.shape, values: [Int64](repeating: 0, count: $0.shape.count)) : $0
                }
            }),
            "tensor '\(up)': elements of type I64")
        expect(try error(tensors: { _ in [] }), "tensor names of no known layout (0 tensors")
        expect(
            try error(tensors: { $0 + [$0[0].named("model.layers.0.mlp.up_proj.weight.absmax")] }),
            "already quantized ('.weight.absmax')")
        expect(
            try error(config: { $0["quantization_config"] = ["quant_method": "gptq"] }),
            "already quantized (method 'gptq')")
        expect(try error(config: { $0["model_type"] = "gemma" }), "key 'model_type': 'gemma'")
        expect(try error(config: { $0["num_hidden_layers"] = 3 }), "key 'num_hidden_layers': 3; expected 2")
        expect(try error(config: { $0["num_hidden_layers"] = 1 }), "key 'num_hidden_layers': 1; expected 2")
        expect(try error(config: { $0["hidden_size"] = 0 }), "key 'hidden_size': 0")
        expect(try error(config: { $0["hidden_size"] = .int(1 << 40) }), "key 'hidden_size'")
        expect(try error(config: { $0["num_key_value_heads"] = 4 }), "key 'num_key_value_heads': 4; expected a divisor")
        expect(try error(config: { $0["head_dim"] = 7 }), "heads of 7")
        expect(try error(config: { $0["hidden_act"] = "gelu" }), "key 'hidden_act': 'gelu'")
        expect(try error(config: { $0["rope_parameters"] = ["rope_type": "yarn", "factor": 2] }), "type 'yarn'")
        expect(try error(config: { $0["rope_parameters"] = ["rope_type": "linear"] }), "rope_parameters.factor")
        expect(
            try error(config: { $0["rope_parameters"] = ["rope_type": "linear", "factor": -1] }),
            "rope_parameters.factor")
        expect(try error(config: { $0["partial_rotary_factor"] = 0.5 }), "key 'partial_rotary_factor'")
        expect(try error(config: { $0["vocab_size"] = nil }), "key 'vocab_size': nothing")
        expect(try error(config: { $0["bos_token_id"] = 83 }), "key 'bos_token_id': 83; expected 0 to 82")
    }

    @Test func unknownTensorsAreReported() throws {
        let source = FixtureModels.path("llama")
        let folder = TemporaryFolder()
        let checkpoint = try openCheckpoint(source)
        var tensors = checkpoint.names.compactMap { checkpoint.tensor($0) }
        tensors += [
            tensors[0].named("model.layers.0.extra"), tensors[0].named("model.layers.0.self_attn.rotary_emb.inv_freq"),
        ]
        try SafetensorsWriter.write(tensors, to: folder.file("model.safetensors"))
        folder.write(try MappedFile(path: "\(source)/config.json").whole.array, "config.json")
        let model = try CheckpointModel.open(folder.path)
        #expect(model.unused.map(\.name) == ["model.layers.0.extra", "model.layers.0.self_attn.rotary_emb.inv_freq"])
        #expect(model.unused.map(\.reason) == [nil, "computed from config.json"])
        #expect(model.warnings.count == 1 && model.warnings[0].contains("'model.layers.0.extra'"))
    }
}

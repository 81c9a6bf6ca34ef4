import Architecture
import Bytes
import Checkpoints
import Tensors
import Testing

/// Tensors that are missing, too many, of another shape or type; models that no layout knows.
@Suite struct BindingTests {
    private func error(_ change: (inout TinyCheckpoint) -> Void) -> CrayonError? {
        var checkpoint = TinyCheckpoint()
        change(&checkpoint)
        return #expect(throws: CrayonError.self) { try checkpoint.open() }
    }

    @Test func theUnchangedOneOpens() throws {
        let model = try TinyCheckpoint().open()
        #expect(model.bindings.count == 12 && model.unused.isEmpty && model.warnings.isEmpty)
        #expect(model.binding(.head)?.sourceName == "lm_head.weight")
        #expect(try model.weight(Role("backbone.layers.1.mlp.up.weight")) == nil)
    }

    @Test func eachMissingTensorIsNamed() throws {
        for name in TinyCheckpoint().tensors.map(\.name) {
            let error = error { $0.remove(name) }
            #expect(error?.code == .missing, "\(name)")
            // With the only layer's, the layout itself is in doubt, and the name is a pattern.
            let pattern = name.replacing(".0.", with: ".{n}.")
            let text = error?.description ?? ""
            #expect(text.contains(name) || text.contains(pattern), "\(name): \(text)")
        }
    }

    @Test func severalMissingAreCountedAndNamed() {
        let error = error {
            $0.remove("model.norm.weight")
            $0.remove("model.layers.0.mlp.down_proj.weight")
        }
        #expect(error?.found.contains("2 tensors missing") == true)
        #expect(error?.found.contains("model.norm.weight") == true)
        #expect(error?.found.contains("model.layers.0.mlp.down_proj.weight") == true)
    }

    @Test func eachWrongShapeIsNamed() throws {
        for tensor in TinyCheckpoint().tensors {
            var dims = tensor.shape.dims
            dims[0] += 1
            let error = error { $0.replace(TinyCheckpoint.zeros(tensor.name, dims)) }
            #expect(error?.code == .mismatch && error?.item == "tensor '\(tensor.name)'")
            #expect(error?.found == "shape \(Shape(dims))")
            #expect(error?.expected?.hasPrefix("\(tensor.shape)") == true)
            #expect(error?.advice?.contains("hidden_size 8") == true)
        }
    }

    @Test func integersAreNoWeights() {
        let error = error {
            $0.replace(Tensor(name: "model.norm.weight", shape: Shape([8]), values: [Int64](repeating: 1, count: 8)))
        }
        #expect(error?.code == .unsupported && error?.found.contains("I64") == true)
        #expect(error?.item == "tensor 'model.norm.weight'")
    }

    @Test func unusedTensorsAreNamed() throws {
        var checkpoint = TinyCheckpoint()
        checkpoint.add(TinyCheckpoint.zeros("model.layers.0.self_attn.rotary_emb.inv_freq", [2]))
        checkpoint.add(TinyCheckpoint.zeros("value_head.weight", [1, 8]))
        let model = try checkpoint.open()
        #expect(model.unused.map(\.name) == ["model.layers.0.self_attn.rotary_emb.inv_freq", "value_head.weight"])
        #expect(model.unused[0].reason != nil && model.unused[1].reason == nil)
        #expect(model.unused.allSatisfy { $0.file.hasSuffix("model.safetensors") })
        // Only what nobody knows is worth a warning.
        #expect(model.warnings.count == 1 && model.warnings[0].contains("value_head.weight"))
        #expect(!model.warnings[0].contains("inv_freq"))
    }

    @Test func tiedHeads() throws {
        var tied = TinyCheckpoint()
        tied.config["tie_word_embeddings"] = "true"
        let copy = try tied.open()
        #expect(copy.configuration.backbone.isHeadTied && copy.binding(.head) == nil)
        #expect(copy.unused.map(\.name) == ["lm_head.weight"] && copy.unused[0].reason?.contains("tied") == true)

        tied.remove("lm_head.weight")
        let plain = try tied.open()
        #expect(plain.configuration.backbone.isHeadTied && plain.unused.isEmpty && plain.warnings.isEmpty)

        // Where the key is absent, the file decides, and the user hears of it.
        tied.config["tie_word_embeddings"] = .some(nil)
        let guessed = try tied.open()
        #expect(guessed.configuration.backbone.isHeadTied && guessed.warnings.count == 1)

        tied.config["tie_word_embeddings"] = "false"
        let error = #expect(throws: CrayonError.self) { try tied.open() }
        #expect(error?.code == .missing && error?.found.contains("lm_head.weight") == true)
    }

    @Test func biasesArePresentOrNot() throws {
        var checkpoint = TinyCheckpoint()
        for part in ["q", "k", "v"] {
            checkpoint.add(TinyCheckpoint.zeros("model.layers.0.self_attn.\(part)_proj.bias", [8]))
        }
        let model = try checkpoint.open()
        #expect(model.configuration.backbone.hasQueryKeyValueBias && !model.configuration.backbone.hasOutputBias)
        checkpoint.config["attention_bias"] = "false"
        #expect(try checkpoint.open().warnings.contains { $0.contains("attention_bias") })
        checkpoint.config["attention_bias"] = "true"
        let promised = #expect(throws: CrayonError.self) { try checkpoint.open() }
        #expect(promised?.found.contains("model.layers.0.self_attn.o_proj.bias") == true)
        checkpoint.config["attention_bias"] = .some(nil)
        checkpoint.remove("model.layers.0.self_attn.k_proj.bias")
        let half = #expect(throws: CrayonError.self) { try checkpoint.open() }
        #expect(half?.found.contains("model.layers.0.self_attn.k_proj.bias") == true)
    }

    @Test func otherModelsAreRefused() {
        let type = error { $0.config["model_type"] = "\"gpt_neox\"" }
        #expect(type?.code == .unsupported && type?.found == "'gpt_neox'" && type?.item == "key 'model_type'")
        #expect(type?.expected?.contains("'llama'") == true && type?.advice?.contains("--layout") == true)
        let names = error { checkpoint in
            checkpoint.tensors = checkpoint.tensors.map { $0.named("transformer." + $0.name) }
        }
        #expect(names?.code == .missing && names?.found.contains("transformer.model.embed_tokens.weight") == true)
        #expect(names?.expected?.contains("'llama'") == true)
        let neither = error { checkpoint in
            checkpoint.config["model_type"] = "\"gpt_neox\""
            checkpoint.tensors = checkpoint.tensors.map { $0.named("transformer." + $0.name) }
        }
        #expect(
            neither?.code == .unsupported && neither?.found.contains("transformer.model.embed_tokens.weight") == true)
        #expect(neither?.expected?.contains("collavo") == true)
        let activation = error { $0.config["hidden_act"] = "\"gelu\"" }
        #expect(activation?.code == .unsupported && activation?.item == "key 'hidden_act'")
        let quantized = error { $0.config["quantization_config"] = "{\"quant_method\": \"fp8\"}" }
        #expect(quantized?.code == .unsupported && quantized?.found.contains("fp8") == true)
        let scales = error { $0.add(TinyCheckpoint.zeros("model.layers.0.mlp.up_proj.weight.absmax", [1])) }
        #expect(scales?.code == .unsupported && scales?.found.contains("already quantized") == true)
        let tower = #expect(throws: CrayonError.self) { try CheckpointModel.open(FixtureModels.path("clip")) }
        #expect(tower?.advice?.contains("vision part") == true)
    }

    @Test func configurationsThatMakeNoSense() {
        let cases: KeyValuePairs<String, String> = [
            "num_hidden_layers": "2", "num_attention_heads": "3", "num_key_value_heads": "0", "head_dim": "3",
            "vocab_size": "-11", "hidden_size": "99999999999", "intermediate_size": "6.5", "rms_norm_eps": "0",
            "max_position_embeddings": "\"16\"", "rope_theta": "-1", "partial_rotary_factor": "0.5",
            "bos_token_id": "11", "eos_token_id": "[2, true]",
        ]
        for (key, value) in cases {
            let error = error { $0.config[key] = value }
            let place = error?.description ?? ""
            #expect(place.contains("config.json"), "\(key): \(place)")
            #expect(place.contains(key == "head_dim" ? "heads of 3" : key), "\(key): \(place)")
        }
        for key in ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"] {
            let error = error { $0.config[key] = .some(nil) }
            #expect(error?.code == .missing && error?.item == "key '\(key)'")
        }
    }

    @Test func folderWithoutConfiguration() throws {
        let folder = TemporaryFolder()
        try SafetensorsWriter.write(TinyCheckpoint().tensors, to: folder.file("model.safetensors"))
        let error = #expect(throws: CrayonError.self) { try CheckpointModel.open(folder.path) }
        #expect(error?.code == .missing && error?.item == "config.json")
        let none = #expect(throws: CrayonError.self) { try CheckpointModel.open(folder.file("none")) }
        #expect(none?.description.contains(folder.file("none")) == true)
    }
}

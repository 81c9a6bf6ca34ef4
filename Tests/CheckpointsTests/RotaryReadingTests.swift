import Architecture
import Bytes
import Checkpoints
import Testing

/// Rotary settings and sliding windows as config.json files spell them.
@Suite struct RotaryReadingTests {
    private func backbone(_ keys: [String: String?]) throws -> BackboneConfiguration {
        var checkpoint = TinyCheckpoint()
        checkpoint.config.merge(keys) { $1 }
        return try checkpoint.open().configuration.backbone
    }

    @Test func theSameInEverySpelling() throws {
        let plain = RotaryConfiguration(maxPositions: 16)
        let linear = RotaryConfiguration(base: 5000, maxPositions: 16, scaling: .linear(factor: 2.5))
        let dynamic = RotaryConfiguration(base: 5000, maxPositions: 16, scaling: .dynamic(factor: 4))
        let spellings: [([String: String?], RotaryConfiguration)] = [
            ([:], plain),
            (["rope_scaling": "null"], plain),
            (["rope_scaling": #"{"type": "default"}"#], plain),
            (["rope_parameters": #"{"rope_type": "default", "rope_theta": 10000}"#], plain),
            (["rope_theta": "5000", "rope_scaling": #"{"type": "linear", "factor": 2.5}"#], linear),
            (["rope_theta": "5000", "rope_scaling": #"{"rope_type": "linear", "factor": 2.5}"#], linear),
            (["rope_parameters": #"{"rope_type": "linear", "factor": 2.5, "rope_theta": 5000}"#], linear),
            (["rope_theta": "5000.0", "rope_scaling": #"{"type": "dynamic", "factor": 4.0}"#], dynamic),
            (["rope_parameters": #"{"rope_type": "dynamic", "factor": 4, "rope_theta": 5000}"#], dynamic),
            (
                [
                    "rope_theta": "5000",
                    "rope_scaling":
                        #"{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1, "high_freq_factor": 4, "#
                        + #""original_max_position_embeddings": 8192}"#,
                ], llama3(8192)
            ),
            (
                [
                    "rope_parameters": #"{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1.0, "#
                        + #""high_freq_factor": 4.0, "rope_theta": 5000}"#
                ], llama3(16)
            ),
            // Both keys: the newer counts.
            (
                ["rope_theta": "5000", "rope_scaling": #"{"rope_type": "dynamic", "type": "linear", "factor": 4}"#],
                dynamic
            ),
        ]
        for (keys, expected) in spellings { #expect(try backbone(keys).rope == expected, "\(keys)") }
    }

    private func llama3(_ original: Int) -> RotaryConfiguration {
        RotaryConfiguration(
            base: 5000, maxPositions: 16,
            scaling: .llama3(
                parameters: Llama3Scaling(
                    factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: original)))
    }

    /// One list of factors for all lengths is what a GGUF file's own frequencies become.
    @Test func longropeWithOneListOfFactors() throws {
        func scaling(_ members: String) throws -> RotaryConfiguration.Scaling {
            try backbone(["rope_scaling": #"{"rope_type": "longrope", \#(members)}"#]).rope.scaling
        }
        let lists = #""short_factor": [1, 2.5], "long_factor": [1, 2.5]"#
        #expect(try scaling(lists) == .frequencies(factors: [1, 2.5]))
        #expect(try scaling(lists + #", "factor": 4, "attention_factor": 1"#) == .frequencies(factors: [1, 2.5]))
        for (members, item, word) in [
            (#""short_factor": [1, 2.5], "long_factor": [1, 3]"#, "rope_type", "differ between lengths"),
            (lists + #", "factor": 4"#, "rope_type", "scales attention"),
            (lists + #", "attention_factor": 1.2"#, "rope_type", "scales attention"),
            (#""short_factor": [1], "long_factor": [1]"#, "short_factor", "1 numbers"),
            (#""short_factor": [1, 0], "long_factor": [1, 0]"#, "short_factor", "the least 0.0"),
            (#""long_factor": [1, 2]"#, "short_factor", ""),
        ] {
            let error = #expect(throws: CrayonError.self) { try scaling(members) }
            #expect(error?.item == "key 'rope_scaling.\(item)'", "\(members)")
            #expect(word.isEmpty || error?.found.contains(word) == true, "\(members): \(error?.found ?? "")")
        }
    }

    @Test(arguments: ["yarn", "su", "ntk", ""]) func othersAreRefusedByName(kind: String) {
        for key in ["rope_scaling", "rope_parameters"] {
            for name in key == "rope_scaling" ? ["type", "rope_type"] : ["rope_type"] {
                let error = #expect(throws: CrayonError.self) {
                    try backbone([key: #"{"\#(name)": "\#(kind)", "factor": 8, "low_freq_factor": 1}"#])
                }
                #expect(error?.code == .unsupported && error?.item == "key '\(key).\(name)'")
                #expect(error?.found == "rotary scaling of type '\(kind)'")
                #expect(error?.expected?.contains("'dynamic'") == true)
            }
        }
    }

    @Test func scalingsWithoutSense() {
        for (scaling, word) in [
            (#"{"type": "linear"}"#, "rope_scaling.factor"),
            (#"{"type": "dynamic", "factor": 0}"#, "rope_scaling.factor"),
            (#"{"type": "linear", "factor": "2"}"#, "rope_scaling.factor"), (#"{"type": 3}"#, "rope_scaling.type"),
            (#"{"type": "llama3", "factor": 8, "high_freq_factor": 4}"#, "rope_scaling.low_freq_factor"),
            (#"{"type": "llama3", "factor": 8, "low_freq_factor": 1}"#, "rope_scaling.high_freq_factor"),
            (
                #"{"type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}"#,
                "rope_scaling.high_freq_factor"
            ),
            (
                #"{"type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "#
                    + #""original_max_position_embeddings": 0}"#, "rope_scaling.original_max_position_embeddings"
            ),
            (#"{"type": "llama3", "low_freq_factor": 1, "high_freq_factor": 4}"#, "rope_scaling.factor"),
            ("[]", "rope_scaling"),
        ] {
            let error = #expect(throws: CrayonError.self) { try backbone(["rope_scaling": scaling]) }
            #expect(error?.item?.contains(word) == true, "\(scaling): \(error?.description ?? "")")
        }
        let perLayer = #expect(throws: CrayonError.self) {
            try backbone(["rope_parameters": #"{"full_attention": {"rope_type": "default"}}"#])
        }
        #expect(perLayer?.code == .unsupported && perLayer?.item?.contains("full_attention") == true)
    }

    /// InternLM-7B's own key.
    @Test func internLMRotary() throws {
        func rope(_ rotary: String) throws -> RotaryConfiguration {
            try backbone(["model_type": "\"internlm\"", "rotary": rotary]).rope
        }
        #expect(try rope(#"{"base": 20000, "type": "origin"}"#) == .init(base: 20000, maxPositions: 16))
        #expect(
            try rope(#"{"base": 20000, "type": "dynamic"}"#)
                == .init(base: 20000, maxPositions: 16, scaling: .dynamic(factor: 1)))
        #expect(
            try rope(#"{"base": 20000, "type": "dynamic", "scaling_factor": 2}"#)
                == .init(base: 20000, maxPositions: 16, scaling: .dynamic(factor: 2)))
        let error = #expect(throws: CrayonError.self) { try rope(#"{"base": 20000, "type": "linear"}"#) }
        #expect(error?.code == .unsupported && error?.item == "key 'rotary.type'")
    }

    @Test func windows() throws {
        func window(_ keys: [String: String?]) throws -> [Int?] {
            let backbone = try backbone(keys)
            return [backbone.slidingWindow, backbone.firstWindowedLayer]
        }
        // Llama's code has none, whatever the key says.
        #expect(try window(["sliding_window": "8"]) == [nil, nil])
        // A Mistral's is 4096 where its file is silent, and off where it says null.
        let mistral: [String: String?] = ["model_type": "\"mistral\"", "num_key_value_heads": "2"]
        #expect(try window(mistral) == [4096, nil])
        #expect(try window(mistral.merging(["sliding_window": "8"]) { $1 }) == [8, nil])
        #expect(try window(mistral.merging(["sliding_window": "null"]) { $1 }) == [nil, nil])
        let zero = #expect(throws: CrayonError.self) {
            try window(mistral.merging(["sliding_window": "0"]) { $1 })
        }
        #expect(zero?.item == "key 'sliding_window'")
    }

    /// Qwen2 windows its later layers only, when told to.
    @Test func windowsOfLaterLayers() throws {
        var checkpoint = TinyCheckpoint()
        checkpoint.config["model_type"] = "\"qwen2\""
        for part in ["q", "k", "v"] {
            checkpoint.add(TinyCheckpoint.zeros("model.layers.0.self_attn.\(part)_proj.bias", [8]))
        }
        func window(_ keys: [String: String?]) throws -> [Int?] {
            var changed = checkpoint
            changed.config.merge(keys) { $1 }
            let backbone = try changed.open().configuration.backbone
            return [backbone.slidingWindow, backbone.firstWindowedLayer]
        }
        #expect(try window(["sliding_window": "5"]) == [nil, nil])
        #expect(try window(["sliding_window": "5", "use_sliding_window": "false"]) == [nil, nil])
        #expect(try window(["sliding_window": "5", "use_sliding_window": "true"]) == [5, 28])
        #expect(
            try window(["sliding_window": "5", "use_sliding_window": "true", "max_window_layers": "1"]) == [5, 1])
        let types: [String: String?] = ["sliding_window": "5", "use_sliding_window": "true"]
        #expect(try window(types.merging(["layer_types": #"["sliding_attention"]"#]) { $1 }) == [5, 0])
        #expect(try window(types.merging(["layer_types": #"["full_attention"]"#]) { $1 }) == [5, 1])
        for wrong in [#"["linear_attention"]"#, #"["full_attention", "sliding_attention"]"#] {
            let error = #expect(throws: CrayonError.self) {
                try window(types.merging(["layer_types": wrong]) { $1 })
            }
            #expect(error?.code == .unsupported && error?.item == "key 'layer_types'")
        }
    }
}

import Architecture
import Bytes
import JSON
import Quantization
import Tensors

/// What a GGUF file's metadata say of a decoder, checked, and as the config.json that the model would have as a checkpoint.
struct GGUFHyperparameters {
    let architecture: GGUFArchitecture
    let backbone: BackboneConfiguration
    private let file: GGUFFile

    /// - Throws: `CrayonError` naming the key for what is missing, makes no sense, or would make the model compute otherwise than
    ///   the runtime does.
    init(_ file: GGUFFile) throws(CrayonError) {
        self.file = file
        architecture = try Self.architecture(of: file)
        let keys = Keys(file: file, prefix: architecture.name)
        try keys.refuse()
        let hidden = try keys.extent("embedding_length")
        let heads = try keys.extent("attention.head_count", limit: 1 << 16)
        let keyValueHeads = try keys.optionalExtent("attention.head_count_kv", limit: 1 << 16) ?? heads
        guard heads % keyValueHeads == 0 else {
            throw keys.error("attention.head_count_kv", "\(keyValueHeads)", "a divisor of \(heads), the heads")
        }
        var headSize = try keys.optionalExtent("attention.key_length", limit: 1 << 16)
        if headSize == nil, hidden % heads == 0 { headSize = hidden / heads }
        guard let headSize, headSize % 2 == 0 else {
            throw keys.error(
                "attention.head_count", "\(heads)", "a divisor of \(hidden) that leaves heads of an even size")
        }
        for key in ["attention.value_length", "rope.dimension_count"] {
            if let size = try keys.optionalExtent(key, limit: 1 << 16), size != headSize {
                throw keys.error(key, "\(size)", "\(headSize), the size of a head", .unsupported)
            }
        }
        guard let table = file.stored("token_embd.weight"), table.shape.rank == 2,
            (1...LayoutContext.rowLimit).contains(table.shape[0])
        else {
            throw CrayonError(
                .missing, in: file.place, item: "tensor 'token_embd.weight'", found: "no table",
                expected: "the tokens' embeddings")
        }
        let epsilon = try keys.positive("attention.layer_norm_rms_epsilon")
        backbone = BackboneConfiguration(
            vocabularySize: table.shape[0], hiddenSize: hidden,
            layerCount: try keys.extent("block_count", limit: 1 << 16), headCount: heads,
            keyValueHeadCount: keyValueHeads, headSize: headSize,
            intermediateSize: try keys.extent("feed_forward_length"), normEpsilon: Float(epsilon),
            rope: try keys.rotary(headSize: headSize), attentionForm: architecture == .internLM2 ? .fused : .separate,
            isHeadTied: file.stored("output.weight") == nil)
    }

    private static func architecture(of file: GGUFFile) throws(CrayonError) -> GGUFArchitecture {
        func error(_ key: String, _ found: String, _ expected: String) -> CrayonError {
            CrayonError(.unsupported, in: file.place, item: "key '\(key)'", found: found, expected: expected)
        }
        if let kind = file.metadata("general.type")?.string, kind != "model" {
            throw error("general.type", "'\(kind)'", "'model'")
        }
        let key = "general.architecture"
        let name = file.metadata(key)?.string
        guard let known = GGUFArchitecture.all.first(where: { $0.name == name }) else {
            throw error(
                key, name.map { "'\($0)'" } ?? "nothing",
                GGUFArchitecture.all.map { "'\($0.name)'" }.joined(separator: ", "))
        }
        return known
    }

    /// Token ids as llama.cpp takes them: where nothing is said, a SentencePiece vocabulary begins with 1 and ends with 2.
    var begin: Int? { token("bos") ?? (isSentencePiece ? 1 : nil) }
    var end: [Int] {
        let first = token("eos") ?? (isSentencePiece ? 2 : nil)
        let further = token("eot").flatMap { $0 == first ? nil : $0 }
        return [first, further].compactMap(\.self)
    }

    private var isSentencePiece: Bool { file.metadata("tokenizer.ggml.model")?.string == "llama" }

    private func token(_ name: String) -> Int? {
        file.metadata("tokenizer.ggml.\(name)_token_id")?.integer.flatMap {
            (0..<backbone.vocabularySize).contains($0) ? $0 : nil
        }
    }

    /// config.json, with the keys that transformers writes.
    var configuration: JSONValue {
        func number(_ value: Double) -> JSONValue { .number(JSONNumber(value)) }
        let rope = backbone.rope
        var object = JSONObject()
        object["architectures"] = .array([.string(architecture.className)])
        object["model_type"] = .string(architecture.modelType)
        object["vocab_size"] = .number(JSONNumber(backbone.vocabularySize))
        object["hidden_size"] = .number(JSONNumber(backbone.hiddenSize))
        object["intermediate_size"] = .number(JSONNumber(backbone.intermediateSize))
        object["num_hidden_layers"] = .number(JSONNumber(backbone.layerCount))
        object["num_attention_heads"] = .number(JSONNumber(backbone.headCount))
        object["num_key_value_heads"] = .number(JSONNumber(backbone.keyValueHeadCount))
        object["head_dim"] = .number(JSONNumber(backbone.headSize))
        object["hidden_act"] = "silu"
        object["rms_norm_eps"] = number(Self.shortest(Double(backbone.normEpsilon)))
        object["max_position_embeddings"] = .number(JSONNumber(rope.maxPositions))
        object["rope_theta"] = number(rope.base)
        if let scaling = rope.scalingObject { object["rope_scaling"] = .object(scaling) }
        object["tie_word_embeddings"] = .bool(backbone.isHeadTied)
        if let begin { object["bos_token_id"] = .number(JSONNumber(begin)) }
        if end.count == 1 { object["eos_token_id"] = .number(JSONNumber(end[0])) }
        if end.count > 1 { object["eos_token_id"] = .array(end.map { .number(JSONNumber($0)) }) }
        return .object(object)
    }

    /// The shortest number that rounds to the same float32, which is what metadata have.
    static func shortest(_ value: Double) -> Double { Double("\(Float(value))") ?? value }
}

extension GGUFHyperparameters {
    /// The metadata of one architecture.
    private struct Keys {
        let file: GGUFFile
        let prefix: String

        func error(
            _ key: String, _ found: String, _ expected: String, _ code: CrayonError.Code = .malformed
        ) -> CrayonError {
            CrayonError(code, in: file.place, item: "key '\(prefix).\(key)'", found: found, expected: expected)
        }

        /// What changes the arithmetic and is not done here.
        func refuse() throws(CrayonError) {
            let numbers = [
                ("expert_count", "a mixture of experts"), ("attention.sliding_window", "a sliding window"),
                ("attention.clamp_kqv", "clamped attention"), ("logit_scale", "scaled logits"),
                ("embedding_scale", "scaled embeddings"), ("residual_scale", "scaled residuals"),
                ("attention.scale", "an attention scale of its own"),
            ]
            for (key, meaning) in numbers {
                if let value = file.metadata("\(prefix).\(key)")?.number, value != 0 {
                    throw error(key, "\(value): \(meaning)", "none", .unsupported)
                }
            }
        }

        func optionalExtent(_ key: String, limit: Int = LayoutContext.widthLimit) throws(CrayonError) -> Int? {
            guard let value = file.metadata("\(prefix).\(key)") else { return nil }
            guard let number = value.integer, (1...limit).contains(number) else {
                throw error(key, value.integer.map { "\($0)" } ?? value.kind, "an integer from 1 to \(limit)")
            }
            return number
        }

        func extent(_ key: String, limit: Int = LayoutContext.widthLimit) throws(CrayonError) -> Int {
            if let value = try optionalExtent(key, limit: limit) { return value }
            throw error(key, "nothing", "an integer", .missing)
        }

        func optionalPositive(_ key: String) throws(CrayonError) -> Double? {
            guard let value = file.metadata("\(prefix).\(key)") else { return nil }
            // As float32, which is what it is used as.
            let number = value.number.map(GGUFHyperparameters.shortest)
            guard let number, number.isFinite, number > 0 else {
                throw error(key, value.number.map { "\($0)" } ?? value.kind, "a positive number")
            }
            return number
        }

        func positive(_ key: String) throws(CrayonError) -> Double {
            if let value = try optionalPositive(key) { return value }
            throw error(key, "nothing", "a positive number", .missing)
        }

        func rotary(headSize: Int) throws(CrayonError) -> RotaryConfiguration {
            let positions = try optionalExtent("context_length", limit: 1 << 30) ?? 2048
            let base = try optionalPositive("rope.freq_base") ?? 10_000
            let older = try optionalPositive("rope.scale_linear")
            let key = "rope.scaling.type"
            let kind = file.metadata("\(prefix).\(key)")?.string ?? (older == nil ? "none" : "linear")
            var rope = RotaryConfiguration(base: base, maxPositions: positions)
            switch kind {
            case "none": break
            case "linear":
                let newer = try optionalPositive("rope.scaling.factor")
                guard let factor = newer ?? older else { throw error("rope.scaling.factor", "nothing", "a factor") }
                rope.scaling = .linear(factor: factor)
            default: throw error(key, "'\(kind)'", "'none' or 'linear'", .unsupported)
            }
            guard let scaling = try GGUFFrequencies.scaling(in: file, base: base, headSize: headSize) else {
                return rope
            }
            guard rope.scaling == .none else {
                throw error(key, "'\(kind)' beside the tensor 'rope_freqs.weight'", "one of the two", .unsupported)
            }
            rope.scaling = scaling
            return rope
        }
    }
}

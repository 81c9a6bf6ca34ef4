import Checkpoints
import Tensors

/// A Llama of one layer, small enough to write again for each test, whose files a test changes first.
struct TinyCheckpoint {
    /// Keys of config.json and their JSON text; nil leaves a key out.
    var config: [String: String?] = [
        "model_type": "\"llama\"", "vocab_size": "11", "hidden_size": "8", "intermediate_size": "6",
        "num_hidden_layers": "1", "num_attention_heads": "2", "max_position_embeddings": "16", "rms_norm_eps": "1e-5",
        "tie_word_embeddings": "false",
    ]
    var tensors: [Tensor] = [
        zeros("model.embed_tokens.weight", [11, 8]), zeros("lm_head.weight", [11, 8]), zeros("model.norm.weight", [8]),
        zeros("model.layers.0.input_layernorm.weight", [8]),
        zeros("model.layers.0.post_attention_layernorm.weight", [8]),
        zeros("model.layers.0.self_attn.q_proj.weight", [8, 8]),
        zeros("model.layers.0.self_attn.k_proj.weight", [8, 8]),
        zeros("model.layers.0.self_attn.v_proj.weight", [8, 8]),
        zeros("model.layers.0.self_attn.o_proj.weight", [8, 8]),
        zeros("model.layers.0.mlp.gate_proj.weight", [6, 8]), zeros("model.layers.0.mlp.up_proj.weight", [6, 8]),
        zeros("model.layers.0.mlp.down_proj.weight", [8, 6]),
    ]

    static func zeros(_ name: String, _ dims: [Int]) -> Tensor {
        let shape = Shape(dims)
        return Tensor(name: name, shape: shape, values: [Float](repeating: 0, count: shape.count))
    }

    mutating func remove(_ name: String) { tensors.removeAll { $0.name == name } }
    mutating func replace(_ tensor: Tensor) { tensors = tensors.map { $0.name == tensor.name ? tensor : $0 } }
    mutating func add(_ tensor: Tensor) { tensors.append(tensor) }

    /// Writes and opens it; the files are gone afterwards, which a mapping does not mind.
    func open(_ options: CheckpointOptions = .init()) throws -> CheckpointModel {
        let folder = TemporaryFolder()
        try write(into: folder)
        return try withExtendedLifetime(folder) { try CheckpointModel.open(folder.path, options: options) }
    }

    func write(into folder: TemporaryFolder) throws {
        let pairs = config.sorted { $0.key < $1.key }.compactMap { key, value in value.map { "\"\(key)\": \($0)" } }
        folder.write("{" + pairs.joined(separator: ", ") + "}", "config.json")
        try SafetensorsWriter.write(tensors, to: folder.file("model.safetensors"))
    }
}

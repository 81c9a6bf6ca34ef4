public import Architecture

/// llama.cpp's names of a decoder's tensors, and how its architectures differ from the checkpoints that they are converted from.
public enum GGUFNames {
    private static let rules: [Layout.Rule] = [
        Layout.Rule("token_embd.weight", "embeddings.tokens.weight"),
        Layout.Rule("output.weight", "head.weight"),
        Layout.Rule("output_norm.weight", "backbone.norm.weight"),
        Layout.Rule("blk.{n}.attn_norm.weight", "backbone.layers.{n}.attention_norm.weight"),
        Layout.Rule("blk.{n}.ffn_norm.weight", "backbone.layers.{n}.mlp_norm.weight"),
        Layout.Rule("blk.{n}.attn_{m:q|k|v}.{p}", "backbone.layers.{n}.attention.{m:q|k|v}.{p}"),
        Layout.Rule("blk.{n}.attn_output.{p}", "backbone.layers.{n}.attention.o.{p}"),
        Layout.Rule("blk.{n}.ffn_{m:gate|up|down}.{p}", "backbone.layers.{n}.mlp.{m:gate|up|down}.{p}"),
    ]

    /// The name of a role's tensor; nil for a role that llama.cpp's decoders have no tensor of their own for, such as a fused query,
    /// key and value.
    public static func name(of role: Role) -> String? {
        for rule in rules {
            if let captures = rule.role.match(role.rawValue), let name = rule.source.expand(captures) { return name }
        }
        return nil
    }

    static func role(of name: String) -> Role? {
        for rule in rules {
            if let captures = rule.source.match(name), let role = rule.role.expand(captures) { return Role(role) }
        }
        return nil
    }
}

/// One of llama.cpp's architectures that Crayon's layouts go with.
public struct GGUFArchitecture: Sendable, Hashable {
    /// As `general.architecture` spells it.
    public let name: String
    /// Whether llama.cpp rotates neighbours where the checkpoint rotates halves, so that rows of query and key are reordered.
    public let turnsRows: Bool
    /// `model_type` of a config.json, and the class of transformers.
    let modelType: String
    let className: String

    /// Llama, Vicuna, Mistral; InternLM-7B too, which shares Llama's form.
    public static let llama = GGUFArchitecture(
        name: "llama", turnsRows: true, modelType: "llama", className: "LlamaForCausalLM")
    public static let qwen2 = GGUFArchitecture(
        name: "qwen2", turnsRows: false, modelType: "qwen2", className: "Qwen2ForCausalLM")
    public static let internLM2 = GGUFArchitecture(
        name: "internlm2", turnsRows: true, modelType: "internlm2", className: "InternLM2ForCausalLM")
    public static let all = [llama, qwen2, internLM2]

    /// - Parameter layout: the name of a layout with a backbone.
    public init?(layout: String) {
        switch layout {
        case "llama", "internlm", "llava": self = .llama
        case "qwen2": self = .qwen2
        case "internlm2", "collavo": self = .internLM2
        default: return nil
        }
    }

    private init(name: String, turnsRows: Bool, modelType: String, className: String) {
        self.name = name
        self.turnsRows = turnsRows
        self.modelType = modelType
        self.className = className
    }
}

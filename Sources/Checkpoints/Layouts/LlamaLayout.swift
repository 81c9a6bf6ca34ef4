import Architecture
import Bytes
import JSON

extension Layout {
    /// Llama and what shares its code: Llama 1 and 2, Vicuna, Mistral.
    static let llama: Layout = Layout(
        name: "llama",
        title: "Llama kin: Llama, Vicuna, Mistral",
        content: .backbone,
        modelTypes: ["llama", "mistral"],
        signature: ["model.layers.{n}.self_attn.q_proj.weight", "model.layers.{n}.mlp.gate_proj.weight"],
        rules: [
            Rule("model.embed_tokens.weight", "embeddings.tokens.weight"),
            Rule("lm_head.weight", "head.weight"),
            Rule("model.norm.weight", "backbone.norm.weight"),
            Rule("model.layers.{n}.input_layernorm.weight", "backbone.layers.{n}.attention_norm.weight"),
            Rule("model.layers.{n}.post_attention_layernorm.weight", "backbone.layers.{n}.mlp_norm.weight"),
            Rule("model.layers.{n}.self_attn.{m:q|k|v|o}_proj.{p}", "backbone.layers.{n}.attention.{m:q|k|v|o}.{p}"),
            Rule("model.layers.{n}.mlp.{m:gate|up|down}_proj.{p}", "backbone.layers.{n}.mlp.{m:gate|up|down}.{p}"),
        ],
        ignored: [
            Ignored(prefix: "model.layers.", suffix: ".rotary_emb.inv_freq", "computed from config.json"),
            Ignored(prefix: "model.rotary_emb.inv_freq", "computed from config.json"),
        ],
        describe: { context throws(CrayonError) in
            let type = try context.requiredConfig().optionalString("model_type")
            return PartDescription(
                backbone: try readBackbone(context, type == "mistral" ? .mistral : .llama, layout: llama))
        })
}

extension BackboneKeys {
    static let llama = BackboneKeys(form: .separate, attentionBias: "attention_bias", mlpBias: "mlp_bias")

    /// Defaults of transformers' MistralConfig.
    static let mistral: BackboneKeys = {
        var keys = llama
        keys.keyValueHeads = 8
        keys.maxPositions = 131_072
        keys.window = .mistral
        return keys
    }()
}

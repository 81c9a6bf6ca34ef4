import Architecture
import Bytes

extension Layout {
    /// Hugging Face InternLM2 (`internlm/internlm2-7b` and kin): Llama with one fused projection for query, key
    /// and value.
    static let internLM2: Layout = Layout(
        name: "internlm2",
        title: "InternLM2: fused query, key and value",
        content: .backbone,
        modelTypes: ["internlm2"],
        signature: ["model.layers.{n}.attention.wqkv.weight"],
        rules: [
            Rule("model.tok_embeddings.weight", "embeddings.tokens.weight"),
            Rule("output.weight", "head.weight"),
            Rule("model.norm.weight", "backbone.norm.weight"),
            Rule("model.layers.{n}.attention_norm.weight", "backbone.layers.{n}.attention_norm.weight"),
            Rule("model.layers.{n}.ffn_norm.weight", "backbone.layers.{n}.mlp_norm.weight"),
        ] + modules.map { Rule("model.layers.{n}.\($0.key).{p}", "backbone.layers.{n}.\($0.value).{p}") },
        ignored: [
            Ignored(prefix: "model.layers.", suffix: ".rotary_emb.inv_freq", "computed from config.json")
        ],
        describe: { context throws(CrayonError) in
            PartDescription(
                backbone: try readBackbone(
                    context, BackboneKeys(form: .fused, attentionBias: "bias"), layout: internLM2))
        })
}

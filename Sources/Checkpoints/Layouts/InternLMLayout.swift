import Architecture
import Bytes

extension Layout {
    /// InternLM-7B (`internlm/internlm-7b`): Llama's names, with biases on query, key, value and output, and
    /// rotary settings under `rotary`.
    static let internLM: Layout = Layout(
        name: "internlm",
        title: "InternLM: Llama's names, biases on q, k, v and o",
        content: .backbone,
        modelTypes: ["internlm"],
        signature: llama.signature.map(\.description),
        rules: llama.rules,
        ignored: llama.ignored,
        describe: { context throws(CrayonError) in
            PartDescription(
                backbone: try readBackbone(
                    context, BackboneKeys(form: .separate, attentionBias: "bias"), layout: internLM))
        })
}

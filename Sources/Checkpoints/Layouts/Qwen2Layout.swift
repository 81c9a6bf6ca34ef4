import Architecture
import Bytes

extension Layout {
    /// Qwen2: Llama's names, with biases on query, key and value only, and a sliding window that may leave
    /// the first layers out.
    static let qwen2: Layout = Layout(
        name: "qwen2",
        title: "Qwen2: biases on q, k and v",
        content: .backbone,
        modelTypes: ["qwen2"],
        signature: llama.signature.map(\.description),
        rules: llama.rules,
        ignored: llama.ignored,
        describe: { context throws(CrayonError) in
            PartDescription(backbone: try readBackbone(context, .qwen2, layout: qwen2))
        })
}

extension BackboneKeys {
    static let qwen2: BackboneKeys = {
        var keys = BackboneKeys(form: .separate)
        keys.alwaysHasQueryKeyValueBias = true
        keys.maxPositions = 32_768
        keys.window = .qwen2
        return keys
    }()
}

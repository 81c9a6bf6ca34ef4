import Architecture
import Bytes
import JSON

/// Where a family's config.json differs from the common keys, and its defaults for keys that are absent.
struct BackboneKeys {
    var form: BackboneConfiguration.AttentionForm
    /// The key that says whether query, key, value and output have biases.
    var attentionBias: String?
    var mlpBias: String?
    /// Biases on query, key and value whatever config.json says (Qwen2).
    var alwaysHasQueryKeyValueBias = false
    /// The embedding table may have rows beyond the vocabulary, for `<image>` (published CoLLaVO).
    var hasTokenRows = false
    /// Nil for as many as query heads.
    var keyValueHeads: Int?
    var maxPositions = 2048
    var window = Window.none

    enum Window {
        case none
        /// `sliding_window`, 4096 where the key is absent.
        case mistral
        /// `sliding_window` when `use_sliding_window`, from layer `max_window_layers` on.
        case qwen2
    }

    init(
        form: BackboneConfiguration.AttentionForm, attentionBias: String? = nil, mlpBias: String? = nil,
        hasTokenRows: Bool = false
    ) {
        self.form = form
        self.attentionBias = attentionBias
        self.mlpBias = mlpBias
        self.hasTokenRows = hasTokenRows
    }
}

extension Layout {
    /// The decoder that config.json and the tensors describe together. Extents are config.json's, and are held
    /// against the tensors when these are bound; which biases there are, the tensors say.
    /// - Parameter part: the object of config.json that describes the text model; nil for config.json itself.
    static func readBackbone(
        _ context: LayoutContext, _ keys: BackboneKeys, in part: JSONReader? = nil, layout: Layout
    ) throws(CrayonError) -> BackboneConfiguration {
        let whole = try context.requiredConfig()
        let config = part ?? whole
        let activation = try config.optionalString("hidden_act") ?? "silu"
        guard activation == "silu" || activation == "swish" else {
            throw CrayonError(
                .unsupported, in: config.place, item: "key 'hidden_act'", found: "'\(activation)'", expected: "'silu'")
        }
        let hidden = try config.extent("hidden_size")
        let heads = try config.extent("num_attention_heads", limit: 1 << 16)
        let keyValueHeads =
            try config.optionalExtent("num_key_value_heads", limit: 1 << 16)
            ?? keys.keyValueHeads ?? heads
        guard heads % keyValueHeads == 0 else {
            throw CrayonError(
                .mismatch, in: config.place, item: "key 'num_key_value_heads'", found: "\(keyValueHeads)",
                expected: "a divisor of num_attention_heads, \(heads)")
        }
        let headSize: Int
        if let given = try config.optionalExtent("head_dim", limit: 1 << 16) {
            headSize = given
        } else {
            guard hidden % heads == 0 else {
                throw CrayonError(
                    .mismatch, in: config.place, item: "key 'num_attention_heads'", found: "\(heads)",
                    expected: "a divisor of hidden_size, \(hidden)")
            }
            headSize = hidden / heads
        }
        guard headSize % 2 == 0 else {
            throw CrayonError(
                .unsupported, in: config.place, item: "heads of \(headSize)",
                found: "an odd size, whose halves rotary positions cannot rotate", expected: "an even size")
        }
        let vocabulary = try config.extent("vocab_size", limit: LayoutContext.rowLimit)
        let layers = try config.extent("num_hidden_layers", limit: 1 << 16)
        let present = context.layerCount("backbone.layers.")
        guard layers == present else {
            throw CrayonError(
                .mismatch, in: config.place, item: "key 'num_hidden_layers'", found: "\(layers)",
                expected: "\(present), which is how many layers the tensors are of",
                advice: present < layers ? "Check that every shard is there." : nil)
        }
        var embeddingRows = vocabulary
        if keys.hasTokenRows {
            let rows = try context.extent(
                .tokenEmbeddings, axis: 0, rank: 2, limit: LayoutContext.rowLimit, layout: layout)
            embeddingRows = max(rows, vocabulary)
        }
        var backbone = BackboneConfiguration(
            vocabularySize: vocabulary, embeddingRows: embeddingRows, hiddenSize: hidden, layerCount: layers,
            headCount: heads, keyValueHeadCount: keyValueHeads, headSize: headSize,
            intermediateSize: try config.extent("intermediate_size"),
            normEpsilon: Float(try config.optionalPositive("rms_norm_eps") ?? 1e-6),
            rope: try readRotary(config, defaultMaxPositions: keys.maxPositions, headSize: headSize),
            attentionForm: keys.form)
        try readBiases(context, config, keys, &backbone)
        backbone.isHeadTied = try isHeadTied(context, config)
        try readWindow(config, keys, &backbone)
        return backbone
    }

    private static func readBiases(
        _ context: LayoutContext, _ config: JSONReader, _ keys: BackboneKeys, _ backbone: inout BackboneConfiguration
    ) throws(CrayonError) {
        func present(_ modules: [BackboneModule]) -> Bool {
            modules.contains { module in
                (0..<backbone.layerCount).contains { context.has(.backbone($0, module, .bias)) }
            }
        }
        /// Presence decides; a config.json that promises a bias makes its absence an error later, and one that
        /// denies it is named.
        func decide(_ key: String?, _ modules: [BackboneModule]) throws(CrayonError) -> Bool {
            let promised = try key.map { key throws(CrayonError) in try config.optionalBool(key) } ?? nil
            let found = present(modules)
            if found, promised == false, let key {
                context.warnings.append(
                    "\(config.place): '\(key)' is false, but there are biases on "
                        + modules.map(\.rawValue).joined(separator: ", ") + "; they are used")
            }
            return found || promised == true
        }
        let inputs: [BackboneModule] = keys.form == .fused ? [.qkv] : [.query, .key, .value]
        backbone.hasQueryKeyValueBias =
            keys.alwaysHasQueryKeyValueBias ? true : try decide(keys.attentionBias, inputs)
        backbone.hasOutputBias = try decide(keys.attentionBias, [.output])
        backbone.hasMLPBias = try decide(keys.mlpBias, [.gate, .up, .down])
    }

    /// `tie_word_embeddings`; where the key is absent too, a checkpoint without a head ties it.
    private static func isHeadTied(_ context: LayoutContext, _ config: JSONReader) throws(CrayonError) -> Bool {
        if let tied = try config.optionalBool("tie_word_embeddings") { return tied }
        guard !context.has(.head) else { return false }
        context.warnings.append(
            "\(context.place): no output head and no 'tie_word_embeddings' in config.json; "
                + "the embedding table serves as the head")
        return true
    }

    private static func readWindow(
        _ config: JSONReader, _ keys: BackboneKeys, _ backbone: inout BackboneConfiguration
    ) throws(CrayonError) {
        let limit = 1 << 30
        switch keys.window {
        case .none: return
        case .mistral:
            // An explicit null is how later Mistrals switch it off.
            backbone.slidingWindow =
                config.object["sliding_window"] == nil
                ? 4096 : try config.optionalExtent("sliding_window", limit: limit)
        case .qwen2:
            guard try config.optionalBool("use_sliding_window") == true else { return }
            backbone.slidingWindow =
                config.object["sliding_window"] == nil
                ? 4096 : try config.optionalExtent("sliding_window", limit: limit)
            backbone.firstWindowedLayer = try config.optionalInt("max_window_layers") ?? 28
        }
        guard backbone.slidingWindow != nil else {
            backbone.firstWindowedLayer = nil
            return
        }
        guard let types = try config.optionalArray("layer_types") else { return }
        let first = types.firstIndex(of: "sliding_attention") ?? types.count
        guard types.count == backbone.layerCount,
            types.enumerated().allSatisfy({ $1 == ($0 < first ? "full_attention" : "sliding_attention") })
        else {
            throw CrayonError(
                .unsupported, in: config.place, item: "key 'layer_types'",
                found: "full and sliding attention in another order",
                expected: "\(backbone.layerCount) layers, first those with full attention, then those with a window")
        }
        backbone.firstWindowedLayer = first
    }
}

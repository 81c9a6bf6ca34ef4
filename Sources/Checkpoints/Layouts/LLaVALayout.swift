import Architecture
import Bytes
import JSON

extension Layout {
    /// LLaVA-1.5 as Hugging Face has it (`llava-hf/llava-1.5-7b-hf` and kin): a Llama, CLIP's vision tower of which the last
    /// layer is not computed, and one projector. Both families of names are read: `language_model.model.…`, as files
    /// have it, and `model.language_model.…`, as the modules of transformers 5 are called.
    public static let llava: Layout = Layout(
        name: "llava",
        title: "LLaVA-1.5: a Llama, CLIP's vision tower and one projector",
        content: .model,
        modelTypes: ["llava"],
        signature: [
            "{x:language_model.model|model.language_model|language_model}.layers.{n}.self_attn.q_proj.weight",
            "{x:multi_modal_projector|model.multi_modal_projector}.linear_1.weight",
        ],
        rules: rulesOfLLaVA,
        ignored: visionPrefixes.flatMap(clipIgnored) + [
            Ignored(prefix: "language_model.", suffix: ".rotary_emb.inv_freq", "computed from config.json"),
            Ignored(prefix: "model.language_model.", suffix: ".rotary_emb.inv_freq", "computed from config.json"),
        ],
        describe: { context throws(CrayonError) in
            let config = try context.requiredConfig()
            let (text, keys) = try textModel(config)
            let backbone = try readBackbone(context, keys, in: text, layout: llava)
            var description = PartDescription(backbone: backbone)
            description.vision = try towerOfLLaVA(context, config)
            description.prompt = .llava
            description.readsCrayon = false
            let named = try (config.optionalInt("image_token_index"), config.optionalInt("image_token_id"))
            let image = named.0 ?? named.1 ?? 32000
            guard (0..<LayoutContext.rowLimit).contains(image) else {
                throw CrayonError(
                    .malformed, in: config.place, item: "key 'image_token_index'", found: "\(image)",
                    expected: "a token id")
            }
            description.imageToken = image
            description.textConfiguration = text
            return description
        })

    private static let rulesOfLLaVA: [Rule] = {
        var rules: [Rule] = []
        for prefix in ["language_model.model.", "model.language_model.", "language_model."] {
            rules += languageRules(prefix: prefix)
        }
        for head in ["language_model.lm_head.weight", "lm_head.weight"] { rules.append(Rule(head, "head.weight")) }
        for prefix in visionPrefixes { rules += clipRules(prefix: prefix) }
        for prefix in ["multi_modal_projector.", "model.multi_modal_projector."] {
            rules.append(Rule("\(prefix)linear_1.{p}", "projectors.image.0.{p}"))
            rules.append(Rule("\(prefix)linear_2.{p}", "projectors.image.2.{p}"))
        }
        return rules
    }()

    private static let visionPrefixes = [
        "vision_tower.vision_model.", "model.vision_tower.vision_model.", "model.vision_tower.", "vision_tower.",
    ]

    /// Llama's names behind another prefix than `model.`.
    private static func languageRules(prefix: String) -> [Rule] {
        llama.rules.compactMap { rule in
            let source = rule.source.description
            guard source.hasPrefix("model.") else { return nil }
            return Rule(prefix + source.dropFirst("model.".count), rule.role.description)
        }
    }

    /// `text_config`, with what files leave out because it is the default of its class.
    private static func textModel(_ config: JSONReader) throws(CrayonError) -> (JSONReader, BackboneKeys) {
        let given = try config.optionalObject("text_config")
        let text = given ?? JSONReader(JSONObject(), place: config.place, path: "text_config")
        let type = try text.optionalString("model_type") ?? "llama"
        let keys: BackboneKeys
        var defaults = JSONObject([
            "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "bos_token_id": 1,
            "eos_token_id": 2,
        ])
        switch type {
        case "llama":
            keys = .llama
            defaults["intermediate_size"] = 11008
            defaults["vocab_size"] = 32000
        case "mistral":
            keys = .mistral
            defaults["intermediate_size"] = 14336
            defaults["vocab_size"] = 32000
        case "qwen2":
            keys = .qwen2
            defaults["intermediate_size"] = 22016
            defaults["vocab_size"] = 151_936
            defaults["bos_token_id"] = nil
            defaults["eos_token_id"] = nil
        default:
            throw CrayonError(
                .unsupported, in: config.place, item: "key 'text_config.model_type'", found: "'\(type)'",
                expected: "'llama', 'mistral' or 'qwen2'")
        }
        if let tied = config.object["tie_word_embeddings"] { defaults["tie_word_embeddings"] = tied }
        var object = text.object
        for (name, value) in defaults.members where object[name] == nil { object[name] = value }
        return (JSONReader(object, place: text.place, path: text.path), keys)
    }

    private static func towerOfLLaVA(
        _ context: LayoutContext, _ config: JSONReader
    ) throws(CrayonError) -> VisionConfiguration {
        func demand(_ key: String, _ found: String?, _ expected: String) throws(CrayonError) {
            guard let found, found != expected else { return }
            throw CrayonError(
                .unsupported, in: config.place, item: "key '\(key)'", found: "'\(found)'", expected: "'\(expected)'")
        }
        try demand(
            "vision_feature_select_strategy", config.optionalString("vision_feature_select_strategy"), "default")
        try demand("projector_hidden_act", config.optionalString("projector_hidden_act"), "gelu")
        let tower = try config.optionalObject("vision_config")
        try demand("vision_config.model_type", tower?.optionalString("model_type"), "clip_vision_model")
        var vision = try readVision(context, tower, backboneHeads: nil, layout: llava)
        if try tower?.optionalInt("image_size") == nil {
            vision.imageSize = Int(Double(vision.positionRows - 1).squareRoot()) * vision.patchSize
        }
        vision.resize = .cropCentre
        if case .array? = config.object["vision_feature_layer"] {
            throw CrayonError(
                .unsupported, in: config.place, item: "key 'vision_feature_layer'", found: "several layers",
                expected: "one")
        }
        let said = try config.optionalInt("vision_feature_layer") ?? -2
        let layer = said < 0 ? vision.layerCount + 1 + said : said
        guard (0...vision.layerCount).contains(layer) else {
            throw CrayonError(
                .mismatch, in: config.place, item: "key 'vision_feature_layer'", found: "\(said)",
                expected: "a layer of the tower's \(vision.layerCount)")
        }
        vision.featureLayer = layer == vision.layerCount ? nil : layer
        return vision
    }
}

import Architecture
import Bytes
import JSON

extension Layout {
    /// The published CoLLaVO-7B: an InternLM2 backbone whose linear layers each carry two low-rank pairs, CLIP
    /// under `vit.vision_tower`, both projectors and both crayon tables in one checkpoint.
    ///
    /// config.json says `model_type: internlm`, which it is not, and nothing of the vision tower; names and
    /// shapes decide.
    static let collavo: Layout = Layout(
        name: "collavo",
        title: "CoLLaVO as published: InternLM2 with PLoRA pairs, CLIP, projectors and crayon queries",
        content: .model,
        signature: [
            "model.layers.{n}.attention.wqkv.Plora_main.weight",
            "vit.vision_tower.vision_model.embeddings.class_embedding",
        ],
        rules: [
            Rule("model.tok_embeddings.weight", "embeddings.tokens.weight"),
            Rule("output.weight", "head.weight"),
            Rule("model.norm.weight", "backbone.norm.weight"),
            Rule("model.layers.{n}.attention_norm.weight", "backbone.layers.{n}.attention_norm.weight"),
            Rule("model.layers.{n}.ffn_norm.weight", "backbone.layers.{n}.mlp_norm.weight"),
        ]
            + modules.flatMap { source, role in
                [
                    Rule("model.layers.{n}.\(source).Plora_main.{p}", "backbone.layers.{n}.\(role).{p}"),
                    Rule("model.layers.{n}.\(source).Plora_A.weight", "adapters.image.layers.{n}.\(role).a.weight"),
                    Rule("model.layers.{n}.\(source).Plora_B.weight", "adapters.image.layers.{n}.\(role).b.weight"),
                    Rule(
                        "model.layers.{n}.\(source).Plora_seg_A.weight", "adapters.crayon.layers.{n}.\(role).a.weight"),
                    Rule(
                        "model.layers.{n}.\(source).Plora_seg_B.weight", "adapters.crayon.layers.{n}.\(role).b.weight"),
                ]
            } + clipRules(prefix: "vit.vision_tower.vision_model.") + crayonFile.rules,
        ignored: internLM2.ignored + clipIgnored(prefix: "vit.vision_tower.vision_model."),
        describe: { context throws(CrayonError) in
            let config = try context.requiredConfig()
            let backbone = try readBackbone(
                context, BackboneKeys(form: .fused, attentionBias: "bias", hasTokenRows: true), layout: collavo)
            var description = try crayonFile.describe(context)
            description.backbone = backbone
            description.vision = try readVision(
                context, config.optionalObject("vision_config"), backboneHeads: backbone.headCount, layout: collavo)
            description.lowRankSets = try publishedSets(context, backbone)
            description.prompt = .demo
            return description
        })

    /// InternLM2's names of a block's linear layers, which the published checkpoint keeps.
    static let modules: KeyValuePairs = [
        "attention.wqkv": "attention.qkv", "attention.wo": "attention.o", "feed_forward.w1": "mlp.gate",
        "feed_forward.w3": "mlp.up", "feed_forward.w2": "mlp.down",
    ]

    /// The sets `image` (PLoRA) and `crayon` (its seg twin), each where the checkpoint has it. Ranks come from
    /// the tensors; alpha is `plora_alpha`, or the rank: the published 256 and 256 give a scale of 1.
    private static func publishedSets(
        _ context: LayoutContext, _ backbone: BackboneConfiguration
    ) throws(CrayonError) -> [LowRankSet] {
        var sets: [LowRankSet] = []
        let inputs: KeyValuePairs<String, LowRankSet.Input> = ["image": .hidden, "crayon": .crayon]
        for (name, input) in inputs {
            let carried = backbone.modules.filter { module in
                (0..<backbone.layerCount).contains { context.has(.adapter(name, $0, module, .a)) }
            }
            // The published code does not pass the crayon prompt to `w2`; its seg pair lies in the file unused.
            let acting = carried.filter { input == .hidden || $0 != .down }
            guard let first = acting.first else { continue }
            let rank = try context.extent(.adapter(name, 0, first, .a), axis: 0, rank: 2, layout: collavo)
            let alpha = try context.config?.optionalPositive("plora_alpha") ?? Double(rank)
            var set = LowRankSet(
                name: name, rank: rank, alpha: alpha, modules: acting, scope: .image, input: input)
            for module in carried {
                for layer in 0..<backbone.layerCount where context.has(.adapter(name, layer, module, .a)) {
                    let own = try context.extent(.adapter(name, layer, module, .a), axis: 0, rank: 2, layout: collavo)
                    guard own != rank else { continue }
                    set.exceptions["layers.\(layer).\(module.rawValue)"] = .init(
                        rank: own, alpha: alpha == Double(rank) ? Double(own) : alpha)
                }
            }
            sets.append(set)
        }
        return sets
    }
}

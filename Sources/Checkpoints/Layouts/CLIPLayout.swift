import Architecture
import Bytes
import JSON

extension Layout {
    /// OpenAI's CLIP ViT as Hugging Face names it: a full `CLIPModel`, whose text tower is ignored, or a
    /// `CLIPVisionModel`.
    static let clip: Layout = Layout(
        name: "clip",
        title: "CLIP vision tower, alone or in a full CLIP model",
        content: .vision,
        modelTypes: ["clip", "clip_vision_model"],
        signature: ["vision_model.embeddings.class_embedding"],
        rules: clipRules(prefix: "vision_model."),
        ignored: clipIgnored(prefix: "vision_model.") + [
            Ignored(prefix: "text_model.", "CLIP's text tower"),
            Ignored(prefix: "text_projection.", "CLIP's contrastive head"),
            Ignored(prefix: "visual_projection.", "CLIP's contrastive head"),
            Ignored(prefix: "logit_scale", "CLIP's contrastive head"),
        ],
        describe: { context throws(CrayonError) in
            // A vision-only model has its keys at the top.
            let vision = try context.config?.optionalObject("vision_config") ?? context.config
            return PartDescription(vision: try readVision(context, vision, backboneHeads: nil, layout: clip))
        })

    /// - Parameter prefix: up to and with `vision_model.`
    static func clipRules(prefix: String) -> [Rule] {
        let layer = "\(prefix)encoder.layers.{n}"
        return [
            Rule("\(prefix)embeddings.class_embedding", "vision.class_embedding"),
            Rule("\(prefix)embeddings.patch_embedding.weight", "vision.patch_embedding.weight"),
            Rule("\(prefix)embeddings.position_embedding.weight", "vision.position_embedding.weight"),
            // Spelt so.
            Rule("\(prefix)pre_layrnorm.{p}", "vision.pre_norm.{p}"),
            Rule("\(prefix)post_layernorm.{p}", "vision.post_norm.{p}"),
            Rule("\(layer).layer_norm{i:1|2}.{p}", "vision.layers.{n}.norm{i:1|2}.{p}"),
            Rule("\(layer).self_attn.{m:q|k|v}_proj.{p}", "vision.layers.{n}.attention.{m:q|k|v}.{p}"),
            Rule("\(layer).self_attn.out_proj.{p}", "vision.layers.{n}.attention.o.{p}"),
            Rule("\(layer).mlp.fc{i:1|2}.{p}", "vision.layers.{n}.mlp.fc{i:1|2}.{p}"),
        ]
    }

    static func clipIgnored(prefix: String) -> [Ignored] {
        [Ignored(prefix: "\(prefix)embeddings.position_ids", "0, 1, 2, …")]
    }
}

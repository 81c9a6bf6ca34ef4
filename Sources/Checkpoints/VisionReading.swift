import Architecture
import Bytes
import JSON

extension Layout {
    /// CLIP's vision tower: extents from the tensors, held against the configuration where there is one; heads,
    /// activation and epsilon from the configuration; the image size from what comes first of option,
    /// configuration and the position table. `crayon_config.json` may change the image size later.
    /// - Parameters:
    ///   - config: CLIP's `vision_config`; nil where the checkpoint has none.
    ///   - backboneHeads: the last resort for the number of heads.
    static func readVision(
        _ context: LayoutContext, _ config: JSONReader?, backboneHeads: Int?, layout: Layout
    ) throws(CrayonError) -> VisionConfiguration {
        func agreed(_ found: Int, _ key: String) throws(CrayonError) -> Int {
            if let config, let said = try config.optionalInt(key), said != found {
                throw CrayonError(
                    .mismatch, in: config.place, item: "key '\(config.path.isEmpty ? key : "\(config.path).\(key)")'",
                    found: "\(said)", expected: "\(found), by the shapes of the tensors")
            }
            return found
        }
        let width = try agreed(
            context.extent(.patchEmbedding, axis: 0, rank: 4, layout: layout), "hidden_size")
        let patch = try agreed(
            context.extent(.patchEmbedding, axis: 3, rank: 4, limit: 1024, layout: layout), "patch_size")
        let rows = try context.extent(.positionEmbedding, axis: 0, rank: 2, layout: layout)
        let side = Int(Double(rows - 1).squareRoot())
        guard rows > 1, side * side == rows - 1 else {
            throw CrayonError(
                .mismatch, in: context.place, item: "tensor '\(context.names[.positionEmbedding] ?? "")'",
                found: "\(rows) positions", expected: "one for the class and a square of patches")
        }
        let layers = try agreed(context.layerCount("vision.layers."), "num_hidden_layers")
        guard layers > 0, layers <= 1 << 16 else {
            throw CrayonError(
                .missing, in: context.place, found: "no layer of the vision tower",
                expected: layout.sourceName(of: .vision(0, "norm1", .weight)))
        }
        let intermediate = try agreed(
            context.extent(.vision(0, "mlp.fc1", .weight), axis: 0, rank: 2, layout: layout), "intermediate_size")
        let activation: VisionConfiguration.Activation
        switch try config?.optionalString("hidden_act") ?? "quick_gelu" {
        case "quick_gelu": activation = .quickGELU
        case "gelu": activation = .gelu
        case let other:
            throw CrayonError(
                .unsupported, in: config?.place ?? context.place, item: "key 'hidden_act' of the vision tower",
                found: "'\(other)'", expected: "'quick_gelu' or 'gelu'")
        }
        let heads = try visionHeads(context, config, width: width, backboneHeads: backboneHeads)
        let declared = try config?.optionalExtent("image_size", limit: 1 << 16)
        // 24 x 24 patches are CLIP ViT-L/14-336, which CoLLaVO looks through at 490 x 490.
        let native = rows == 577 && patch == 14 ? 490 : side * patch
        return VisionConfiguration(
            width: width, layerCount: layers, headCount: heads, intermediateSize: intermediate, patchSize: patch,
            imageSize: declared ?? native, positionRows: rows,
            normEpsilon: Float(try config?.optionalPositive("layer_norm_eps") ?? 1e-5), activation: activation)
    }

    /// Heads leave no trace in the tensors.
    private static func visionHeads(
        _ context: LayoutContext, _ config: JSONReader?, width: Int, backboneHeads: Int?
    ) throws(CrayonError) -> Int {
        func checked(_ heads: Int, _ place: String, _ item: String) throws(CrayonError) -> Int {
            guard heads > 0, width % heads == 0 else {
                throw CrayonError(
                    .mismatch, in: place, item: item, found: "\(heads)", expected: "a divisor of the width, \(width)")
            }
            return heads
        }
        if let config, let heads = try config.optionalInt("num_attention_heads") {
            return try checked(heads, config.place, "key 'num_attention_heads' of the vision tower")
        }
        if let heads = context.options.visionHeadCount {
            return try checked(heads, "--vision-heads", "\(heads)")
        }
        // Every CLIP that OpenAI published has heads of 64.
        if width % 64 == 0 { return width / 64 }
        if let heads = backboneHeads, width % heads == 0 {
            context.warnings.append(
                "\(context.place): nothing says how many heads the vision tower has; taking \(heads), "
                    + "the backbone's number. Give --vision-heads if that is wrong")
            return heads
        }
        throw CrayonError(
            .missing, in: context.place, item: "the vision tower's number of heads", found: "nothing",
            expected: "vision_config.num_attention_heads in config.json", advice: "Give it with --vision-heads.")
    }
}

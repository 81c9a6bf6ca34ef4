import Architecture
import Bytes
import Checkpoints
import Foundation
import Quantization
import Tensors

/// The golden checkpoint by hand, until layouts are read.
struct GoldenShim: ModelSource {
    let place = "golden"
    let configuration: ModelConfiguration
    let files: [AuxiliaryFile] = []
    let shards: [SafetensorsFile]

    init() throws {
        let folder = Fixtures.folder.appending(path: "golden/collavo-tiny")
        shards = try ["model-00001-of-00002", "model-00002-of-00002"].map {
            try SafetensorsFile(path: folder.appending(path: "\($0).safetensors").path)
        }
        let modules: [BackboneModule] = [.qkv, .output, .gate, .up, .down]
        configuration = ModelConfiguration(
            layout: "collavo",
            backbone: BackboneConfiguration(
                vocabularySize: 512, embeddingRows: 513, hiddenSize: 192, layerCount: 2, headCount: 6,
                keyValueHeadCount: 6,
                intermediateSize: 320, rope: RotaryConfiguration(maxPositions: 512), attentionForm: .fused),
            vision: VisionConfiguration(
                width: 96, layerCount: 2, headCount: 6, intermediateSize: 192, patchSize: 14, imageSize: 84,
                positionRows: 37),
            crayon: CrayonConfiguration(
                width: 96, semanticRows: 134, numberingRows: 21, entry: .lowRank, categories: []),
            lowRankSets: [
                LowRankSet(name: "image", rank: 8, alpha: 8, modules: modules, scope: .image, input: .hidden),
                LowRankSet(
                    name: "crayon", rank: 8, alpha: 8, modules: modules.dropLast(), scope: .image, input: .crayon),
            ],
            tokens: SpecialTokens(begin: 1, end: [2], image: 512), prompt: .demo)
    }

    func weight(_ role: Role) throws(CrayonError) -> StoredWeight? {
        let name = name(of: role.rawValue)
        for shard in shards { if let tensor = shard.tensor(name) { return .dense(tensor) } }
        return nil
    }

    private func name(of role: String) -> String {
        let exact = [
            "embeddings.tokens.weight": "model.tok_embeddings.weight", "backbone.norm.weight": "model.norm.weight",
            "head.weight": "output.weight", "crayon.semantic.weight": "seg_prompt_embed.weight",
            "crayon.numbering.weight": "seg_num_embed.weight",
        ]
        if let name = exact[role] { return name }
        var name = role
        func swap(_ from: String, _ to: String) { name = name.replacingOccurrences(of: from, with: to) }
        if role.hasPrefix("projectors.") {
            swap("projectors.image", "vision_proj")
            swap("projectors.crayon", "vision_proj_for_seg")
            return name
        }
        if role.hasPrefix("vision.") {
            swap("vision.layers", "vision.encoder.layers")
            for (a, b) in [
                ("attention.o", "self_attn.out_proj"), ("attention.", "self_attn."), ("attn.q.", "attn.q_proj."),
                ("attn.k.", "attn.k_proj."), ("attn.v.", "attn.v_proj."), ("norm1", "layer_norm1"),
                ("norm2", "layer_norm2"),
                ("pre_norm", "pre_layrnorm"), ("vision.class", "vision.embeddings.class"),
                ("vision.patch", "vision.embeddings.patch"), ("vision.position", "vision.embeddings.position"),
            ] { swap(a, b) }
            return "vit.vision_tower.vision_model." + name.dropFirst("vision.".count)
        }
        let isAdapter = role.hasPrefix("adapters.")
        for (a, b) in [
            ("adapters.image.layers", "model.layers"), ("adapters.crayon.layers", "model.layers"),
            ("backbone.", "model."),
            ("mlp_norm", "ffn_norm"), ("attention.qkv", "attention.wqkv"), ("attention.o", "attention.wo"),
            ("mlp.gate", "feed_forward.w1"), ("mlp.up", "feed_forward.w3"), ("mlp.down", "feed_forward.w2"),
        ] { swap(a, b) }
        if isAdapter {
            let prefix = role.hasPrefix("adapters.crayon") ? "Plora_seg_" : "Plora_"
            swap(".a.weight", ".\(prefix)A.weight")
            swap(".b.weight", ".\(prefix)B.weight")
        } else if !name.contains("norm") {
            swap(".weight", ".Plora_main.weight")
        }
        return name
    }
}

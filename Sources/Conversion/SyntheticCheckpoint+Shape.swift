import Architecture
import Bytes
import JSON

extension SyntheticCheckpoint {
    /// The extents of a CoLLaVO; by default those of the published 7B.
    public struct Shape: Equatable, Sendable {
        public var vocabularySize = 92_544
        public var hiddenSize = 4096
        public var layerCount = 32
        public var headCount = 32
        public var keyValueHeadCount = 8
        public var intermediateSize = 14_336
        public var ropeBase = 1e6
        public var maxPositions = 32_768
        /// Rank of every low-rank pair.
        public var rank = 256
        public var visionWidth = 1024
        public var visionLayerCount = 24
        public var visionHeadCount = 16
        public var visionIntermediateSize = 4096
        public var patchSize = 14
        /// The class position and a square of patches.
        public var positionRows = 577
        public var semanticRows = 134
        public var numberingRows = 21

        /// InternLM2-7B with PLoRA pairs of rank 256, CLIP ViT-L/14-336, 133 classes and 20 instances.
        public static let collavo7B = Shape()

        public init() {}

        static let layoutName = "collavo"

        /// The model, as far as its parameters go.
        var configuration: ModelConfiguration {
            let backbone = BackboneConfiguration(
                vocabularySize: vocabularySize, embeddingRows: vocabularySize + 1, hiddenSize: hiddenSize,
                layerCount: layerCount, headCount: headCount, keyValueHeadCount: keyValueHeadCount,
                intermediateSize: intermediateSize,
                rope: RotaryConfiguration(base: ropeBase, maxPositions: maxPositions),
                attentionForm: .fused)
            // The published file carries seg pairs of `w2` too, which do not act.
            let acting = backbone.modules.filter { $0 != .down }
            return ModelConfiguration(
                layout: Self.layoutName, backbone: backbone,
                vision: VisionConfiguration(
                    width: visionWidth, layerCount: visionLayerCount, headCount: visionHeadCount,
                    intermediateSize: visionIntermediateSize, patchSize: patchSize, imageSize: 35 * patchSize,
                    positionRows: positionRows),
                crayon: CrayonConfiguration(
                    width: visionWidth, semanticRows: semanticRows, numberingRows: numberingRows, entry: .lowRank,
                    categories: []),
                lowRankSets: [
                    LowRankSet(
                        name: "image", rank: rank, alpha: Double(rank), modules: backbone.modules, scope: .image,
                        input: .hidden),
                    LowRankSet(
                        name: "crayon", rank: rank, alpha: Double(rank), modules: acting, scope: .image, input: .crayon),
                ],
                tokens: SpecialTokens(begin: 1, end: [2]), prompt: .demo)
        }

        /// config.json with the published keys. The published one says nothing of the vision tower; a tower whose
        /// heads are not 64 wide has to.
        var configurationText: String {
            let numbers: KeyValuePairs = [
                "vocab_size": vocabularySize, "hidden_size": hiddenSize, "intermediate_size": intermediateSize,
                "num_hidden_layers": layerCount, "num_attention_heads": headCount,
                "num_key_value_heads": keyValueHeadCount, "max_position_embeddings": maxPositions,
                "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
            ]
            var config = JSONObject()
            config["architectures"] = ["CoLLaVOModel"]
            config["model_type"] = "internlm"
            for (key, value) in numbers { config[key] = .int(value) }
            config["hidden_act"] = "silu"
            config["rms_norm_eps"] = 1e-5
            config["bias"] = false
            config["rope_theta"] = .double(ropeBase)
            config["tie_word_embeddings"] = false
            config["torch_dtype"] = "bfloat16"
            if visionHeadCount * 64 != visionWidth {
                config["vision_config"] = ["num_attention_heads": .int(visionHeadCount)]
            }
            return JSONValue.object(config).text(style: .pretty(indent: 2)) + "\n"
        }

        func check() throws(CrayonError) {
            func require(_ condition: Bool, _ item: String, _ found: Int, _ expected: String) throws(CrayonError) {
                guard !condition else { return }
                throw CrayonError(.usage, in: "shape", item: item, found: "\(found)", expected: expected)
            }
            let extents: KeyValuePairs = [
                "vocabulary size": vocabularySize, "hidden size": hiddenSize, "layers": layerCount, "heads": headCount,
                "key-value heads": keyValueHeadCount, "intermediate size": intermediateSize,
                "positions": maxPositions, "rank": rank, "vision width": visionWidth,
                "vision layers": visionLayerCount, "vision heads": visionHeadCount,
                "vision intermediate size": visionIntermediateSize, "patch size": patchSize,
                "position rows": positionRows, "semantic rows": semanticRows, "numbering rows": numberingRows,
            ]
            for (name, extent) in extents {
                try require((1...(1 << 20)).contains(extent), name, extent, "1 to \(1 << 20)")
            }
            try require(hiddenSize % (2 * headCount) == 0, "heads", headCount, "heads of an even size")
            try require(
                headCount % keyValueHeadCount == 0, "key-value heads", keyValueHeadCount, "a divisor of the heads")
            try require(
                visionWidth % visionHeadCount == 0, "vision heads", visionHeadCount, "a divisor of the vision width")
            let side = Int(Double(positionRows - 1).squareRoot())
            try require(
                positionRows > 1 && side * side == positionRows - 1, "position rows", positionRows,
                "one more than a square")
        }
    }
}

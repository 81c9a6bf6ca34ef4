import Checkpoints
import Tensors

/// Tells the weights of linear layers, which bitsandbytes quantizes, from everything else in a checkpoint of a model that Crayon does not know.
///
/// A linear layer's weight and an embedding's have the same shape, so names decide. See `Formats/generic.md`.
struct LinearWeights {
    enum Decision: Equatable {
        /// `[out, in]`
        case linear
        /// `[in, out]`, of transformers' `Conv1D`; quantized as `[out, in]`
        case transposed
        case kept(Reason)
    }

    /// Why a tensor is left alone.
    enum Reason: String, CaseIterable, Sendable {
        case bias = "biases, norms and other vectors"
        case parameter = "parameters that are no layer's weight"
        case convolution = "convolutions and other weights of more than two axes"
        case integers = "tensors that are no real numbers"
        case embedding = "embeddings"
        case head = "output heads"
        case router = "routers of experts"
        case experts = "experts, which transformers 5 fuses to tensors that bitsandbytes does not quantize"
        case attention = "output layers of torch's own attention"
        case ownLinear = "layers of a class of the model's own"
        case float32 = "modules that transformers keeps in float32"
        case skipped = "modules named with --skip"
    }

    private let family: ModelFamily
    private let skips: ModuleSkips?
    private let float32: ModuleSkips
    private let names: Set<String>

    /// - Parameters:
    ///   - names: of all tensors; what a weight is may show in its neighbours.
    ///   - skips: in place of output heads.
    init(family: ModelFamily, names: [String], skips: ModuleSkips?) {
        self.family = family
        self.skips = skips
        self.names = Set(names)
        float32 = ModuleSkips(family.float32Modules)
        expertParents = Set(
            names.compactMap { name in name.firstRange(of: ".experts.").map { String(name[..<$0.lowerBound]) } })
    }

    /// Paths of the modules that have experts.
    private let expertParents: Set<String>
    private static let suffix = ".weight"

    /// The path of the module that a weight belongs to; nil for what is called otherwise.
    static func module(of name: String) -> String? {
        name.hasSuffix(suffix) ? String(name.dropLast(suffix.count)) : nil
    }

    func decision(_ entry: TensorEntry) -> Decision {
        guard entry.type.isFloat else { return .kept(.integers) }
        if entry.name.contains(".experts.") { return .kept(.experts) }
        guard entry.shape.rank > 1 else { return .kept(.bias) }
        guard let module = Self.module(of: entry.name) else { return .kept(.parameter) }
        guard entry.shape.rank == 2, entry.shape.count > 0 else { return .kept(.convolution) }
        let parts = module.split(separator: ".").map(String.init)
        guard let last = parts.last else { return .kept(.parameter) }
        let parent = parts.dropLast().joined(separator: ".")
        if isEmbedding(last) { return .kept(.embedding) }
        if last == "gate" || last == "router", expertParents.contains(parent) { return .kept(.router) }
        if last == "out_proj", names.contains("\(parent).in_proj_weight") { return .kept(.attention) }
        if float32.contains(module) { return .kept(.float32) }
        if let skips {
            if skips.contains(module) { return .kept(.skipped) }
        } else if isHead(module, last) {
            return .kept(.head)
        }
        if family.hasTransposed, ["c_attn", "q_attn", "c_proj", "c_fc"].contains(last) { return .transposed }
        return family.hasOwnLinear ? .kept(.ownLinear) : .linear
    }

    /// Names of `nn.Embedding` in transformers' models; those of linear layers that go from or to embeddings say so.
    private func isEmbedding(_ name: String) -> Bool {
        let lower = name.lowercased()
        if ["wte", "wpe", "shared", "relative_attention_bias", "pos_emb", "rel_pos_emb", "segment_emb"].contains(lower)
        {
            return true
        }
        guard lower.contains("embed") || lower.contains("position_enc") || lower.contains("positional") else {
            return false
        }
        return !["proj", "linear", "dense", "transform", "mapping", "embed_out"].contains { lower.contains($0) }
    }

    /// What transformers leaves alone by itself: the output embeddings, and the model's last parameter where that is a weight.
    private func isHead(_ module: String, _ last: String) -> Bool {
        if module == "output" || Self.heads.contains(where: { module == $0 || module.hasSuffix("." + $0) }) {
            return true
        }
        // CLIP's projections: the second is the model's last parameter.
        if module == "text_projection", names.contains("visual_projection.weight"),
            !names.contains("text_projection.bias")
        {
            return true
        }
        return ["score", "classifier", "qa_outputs"].contains(last) && !module.contains("layers.")
            && !names.contains(module + ".bias")
    }

    static let heads = [
        "lm_head", "lm_head.decoder", "embed_out", "predictions.decoder", "generator_lm_head", "vocab_projector",
        "pred_layer.proj",
    ]
}

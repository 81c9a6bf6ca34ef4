import Bytes
import JSON
import Tensors

/// What a config.json says of the classes that transformers builds for it, as far as quantizing goes.
struct ModelFamily {
    /// The `model_type` of the model and of its parts.
    let modelTypes: Set<String>
    /// The type that weights are loaded in; nil where the file does not say.
    let type: ElementType?
    let isTied: Bool

    /// Families whose checkpoints `Scripts/reference/generic_against_peers.py` holds equal to those of transformers and bitsandbytes. Of all
    /// others the checkpoint lists what is not quantized, so that nothing depends on what transformers leaves alone by itself.
    static let proven: Set = [
        "bert", "gpt2", "qwen2", "mixtral", "blip-2", "instructblip", "qwen2_vl",
    ]
    /// Families with transformers' `Conv1D`, whose weights are `[in, out]`.
    private static let transposing: Set = ["gpt2", "openai-gpt", "imagegpt", "decision_transformer", "clvp"]
    /// Families whose layers are subclasses of `nn.Linear`, which transformers does not replace.
    private static let subclassing: Set = ["falcon", "idefics", "esm"]
    /// `_keep_in_fp32_modules` of the classes: skipped, and float32 where the rest is F16.
    private static let inFloat32: [String: [String]] = [
        "blip-2": ["query_tokens", "qformer"], "instructblip": ["query_tokens"], "instructblipvideo": ["query_tokens"],
        "t5": ["wo"], "mt5": ["wo"], "umt5": ["wo"], "udop": ["wo"], "pop2piano": ["wo"],
    ]

    init(_ config: JSONReader) throws(CrayonError) {
        var types: Set<String> = []
        if let type = try config.optionalString("model_type") { types.insert(type) }
        for (_, value) in config.object.members {
            if case .object(let part) = value, case .string(let type)? = part["model_type"] { types.insert(type) }
        }
        modelTypes = types
        var name = try config.optionalString("dtype")
        if name == nil { name = try config.optionalString("torch_dtype") }
        type = name.flatMap { ElementType(torchName: $0) }
        isTied = try config.optionalBool("tie_word_embeddings") ?? false
    }

    /// Whether what transformers leaves alone by itself is what is left alone here.
    var isProven: Bool {
        !modelTypes.isDisjoint(with: Self.proven) && modelTypes.isDisjoint(with: Self.inFloat32ByPart)
    }
    private static let inFloat32ByPart: Set = ["t5", "mt5", "umt5", "udop", "pop2piano"]

    var hasTransposed: Bool { !modelTypes.isDisjoint(with: Self.transposing) }
    var hasOwnLinear: Bool { !modelTypes.isDisjoint(with: Self.subclassing) }
    var float32Modules: [String] {
        var modules: [String] = []
        for type in modelTypes.sorted() {
            for module in Self.inFloat32[type] ?? [] where !modules.contains(module) { modules.append(module) }
        }
        return modules
    }
}

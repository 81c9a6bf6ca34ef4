import Architecture
import BundleFormat
import Bytes
import Checkpoints
import JSON
import Tensors

/// What transformers needs to know of a 4-bit checkpoint: which weights stay 4-bit, and a config.json that says so.
///
/// A checkpoint has the tensors of the bundle's main source. In transformers every `nn.Linear` becomes a 4-bit
/// layer unless its module is skipped, and nothing else does; so tables (embeddings, crayon queries) are
/// dequantized, and linear layers that are not 4-bit are listed in `llm_int8_skip_modules` where the default
/// rules would not leave them alone: the output head alone is left alone by those.
struct FourBitCheckpoint {
    let configurationText: String
    private(set) var warnings: [String] = []
    private let isTextModel: Bool

    private static let configurationName = "config.json"
    private static let headModule = "lm_head"
    /// Layouts that transformers has classes for.
    private static let knownLayouts: Set = ["llama", "qwen2"]
    /// Files that belong to parts that a text model does not have.
    private static let otherFiles: Set = ["crayon_config.json", "preprocessor_config.json"]

    /// - Throws: `CrayonError` when the bundle has no 4-bit weight that can stay one, or no config.json.
    init(_ bundle: BundleReader) throws(CrayonError) {
        let model = bundle.configuration
        let layout = Layout.named(model.layout)
        isTextModel = layout?.content != .model
        let weights = bundle.manifest.weights.filter { $0.origin.isEmpty }
        let kept = weights.filter(Self.keepsCodes)
        guard let first = kept.first else {
            throw CrayonError(
                .unsupported, in: bundle.place, found: "no linear layer in NF4",
                expected: "a bundle whose backbone is in NF4",
                advice: "Convert with '--precision backbone=nf4', or export to safetensors.")
        }
        guard let file = bundle.file(Self.configurationName) else {
            throw CrayonError(
                .missing, in: bundle.place, item: Self.configurationName, found: "nothing",
                expected: "the config.json of the source",
                advice: "Convert again from a checkpoint that has one beside its tensors.")
        }
        let name = "\(bundle.place): \(Self.configurationName)"
        let value = try JSONValue.parse(file.region.buffer, name: name, limits: .init(depth: 64))
        guard case .object(var config) = value else {
            throw CrayonError(.malformed, in: name, found: value.kind, expected: "an object")
        }
        // transformers 5 reads `dtype`, and `torch_dtype` where that is absent.
        if config["dtype"] == nil, config["torch_dtype"] == nil {
            config["dtype"] = first.coding.type.torchName.map(JSONValue.string)
        }
        config["quantization_config"] = Self.quantization(
            first.coding, skipped: Self.skippedModules(weights, model))
        configurationText = JSONValue.object(config).text(style: .pretty(indent: 2)) + "\n"

        if !Self.knownLayouts.contains(model.layout) {
            warnings.append(
                "transformers has no class of its own for the layout '\(model.layout)'; only code that brings one can "
                    + "load this")
        }
        let left = Set(bundle.manifest.weights.filter { !$0.origin.isEmpty }.map(\.origin)).sorted()
        if !left.isEmpty {
            warnings.append(
                "left out, since the format holds the main checkpoint alone: \(left.joined(separator: ", "))")
        }
        let quantized = weights.count { $0.coding.kind == .nf4 || $0.coding.kind == .int8 }
        if quantized > kept.count {
            warnings.append(
                "weights that were dequantized, since only linear layers in NF4 stay as they are: \(quantized - kept.count)"
            )
        }
    }

    func keepsCodes(_ weight: BundleWeight) -> Bool { Self.keepsCodes(weight) }

    /// Whether a file of the bundle belongs to the checkpoint.
    func carries(_ name: String) -> Bool {
        !name.contains("/") && !(isTextModel && Self.otherFiles.contains(name))
    }

    private static func keepsCodes(_ weight: BundleWeight) -> Bool {
        guard weight.coding.kind == .nf4, weight.coding.shape.count == 2, module(of: weight) != nil else {
            return false
        }
        return isLinear(weight)
    }

    private static func isLinear(_ weight: BundleWeight) -> Bool {
        switch weight.part {
        case .embeddings, .crayon: false
        case .backbone, .head, .vision, .projectors, .adapters: true
        }
    }

    /// The module that a weight belongs to; nil for biases and bare parameters.
    private static func module(of weight: BundleWeight) -> String? {
        let suffix = ".weight"
        return weight.sourceName.hasSuffix(suffix) ? String(weight.sourceName.dropLast(suffix.count)) : nil
    }

    /// The linear layers that are not 4-bit; nil where they are the head alone, as transformers assumes without a list.
    private static func skippedModules(_ weights: [BundleWeight], _ model: ModelConfiguration) -> [String]? {
        let matrices = Set(model.parameters.filter(\.isMatrix).map(\.role))
        var skipped: [String] = []
        var head = model.backbone.isHeadTied ? headModule : nil
        for weight in weights where matrices.contains(weight.role) && isLinear(weight) && !keepsCodes(weight) {
            guard let module = module(of: weight) else { continue }
            if weight.role == .head { head = module } else { skipped.append(module) }
        }
        if skipped.isEmpty, head == headModule { return nil }
        return skipped + (head.map { [$0] } ?? [])
    }

    /// The keys that transformers writes, in its order.
    private static func quantization(_ coding: BundleCoding, skipped: [String]?) -> JSONValue {
        [
            "_load_in_4bit": true, "_load_in_8bit": false,
            "bnb_4bit_compute_dtype": coding.type.torchName.map(JSONValue.string) ?? "float32",
            "bnb_4bit_quant_storage": "uint8", "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": .bool(coding.nestedBlockSize != nil),
            "llm_int8_enable_fp32_cpu_offload": false, "llm_int8_has_fp16_weight": false,
            "llm_int8_skip_modules": skipped.map { .array($0.map(JSONValue.string)) } ?? .null,
            "llm_int8_threshold": 6.0, "load_in_4bit": true, "load_in_8bit": false, "quant_method": "bitsandbytes",
        ]
    }
}

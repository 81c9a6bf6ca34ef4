import Architecture
import BundleFormat
import Bytes
import Checkpoints
import JSON
import Quantization
import Tensors

/// What transformers needs to know of a checkpoint that bitsandbytes reads: which weights stay quantized, and a config.json
/// that says so.
///
/// A checkpoint has the tensors of the bundle's main source, and one coding: NF4; FP4 where a bundle has that and no NF4; LLM.int8()
/// where it has neither. In transformers every `nn.Linear` becomes a quantized layer unless its module is skipped, and nothing else does; so tables (embeddings, crayon queries) are
/// dequantized, and linear layers that are not quantized are listed in `llm_int8_skip_modules` where the default
/// rules would not leave them alone: the output head alone is left alone by those.
struct BitsandbytesCheckpoint {
    let configurationText: String
    private(set) var warnings: [String] = []
    private let isTextModel: Bool
    private let scheme: Scheme
    /// Names, in the bundle, of the weights that stay as they are.
    private let keptNames: Set<String>

    /// The coding of the layers that stay as they are.
    enum Scheme: CaseIterable {
        case nf4
        case fp4
        case llmInt8

        /// Whether a weight is a linear layer in this coding.
        func keeps(_ weight: BundleWeight, of bundle: BundleReader) -> Bool {
            guard weight.coding.shape.count == 2, BitsandbytesCheckpoint.module(of: weight) != nil,
                BitsandbytesCheckpoint.isLinear(weight)
            else { return false }
            switch self {
            case .nf4: return weight.coding.kind == .nf4
            case .fp4: return weight.coding.kind == .fp4
            case .llmInt8:
                // The coding of bundles has two kinds of 8 bits; which it is, the weight's own description says.
                guard weight.coding.kind == .int8, case .int8(let tensor)? = (try? bundle.weight(weight.role)) ?? nil
                else {
                    return false
                }
                return tensor.quantType == .linear8
            }
        }
    }

    private static let configurationName = "config.json"
    private static let headModule = "lm_head"
    /// Layouts that transformers has classes for.
    private static let knownLayouts: Set = ["llama", "qwen2", "llava"]
    /// Files that belong to parts that a text model does not have.
    private static let otherFiles: Set = ["crayon_config.json", "preprocessor_config.json"]

    /// - Throws: `CrayonError` when the bundle has no quantized weight that can stay one, or no config.json.
    init(_ bundle: BundleReader) throws(CrayonError) {
        let model = bundle.configuration
        let layout = Layout.named(model.layout)
        isTextModel = layout?.content != .model
        let weights = bundle.manifest.weights.filter { $0.origin.isEmpty }
        let scheme = Scheme.allCases.first { scheme in weights.contains { scheme.keeps($0, of: bundle) } } ?? .nf4
        let kept = weights.filter { scheme.keeps($0, of: bundle) }
        self.scheme = scheme
        keptNames = Set(kept.map(\.name))
        guard let first = kept.first else {
            throw CrayonError(
                .unsupported, in: bundle.place, found: "no linear layer in NF4, FP4 or LLM.int8()",
                expected: "a bundle whose backbone is in one of them",
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
            scheme, first.coding, skipped: Self.skippedModules(weights, kept: keptNames, model))
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
        let quantized = weights.count { $0.coding.isQuantized }
        if quantized > kept.count {
            warnings.append(
                "weights that were dequantized, since only linear layers in \(scheme == .nf4 ? "NF4" : "one coding") stay as they are: "
                    + "\(quantized - kept.count)"
            )
        }
    }

    /// The tensors of a weight that stays quantized, under bitsandbytes' names; nil for all others.
    func tensors(of weight: BundleWeight, in bundle: BundleReader) throws(CrayonError) -> [ExportedTensor]? {
        guard keptNames.contains(weight.name) else { return nil }
        func stored(_ suffix: String) throws(CrayonError) -> Tensor {
            guard let tensor = bundle.tensor(weight.name + suffix) else {
                throw CrayonError(
                    .missing, in: bundle.place, item: "tensor '\(weight.name)\(suffix)'", found: "nothing")
            }
            return tensor
        }
        func exported(_ name: String, _ tensor: Tensor, as type: ElementType? = nil) -> ExportedTensor {
            ExportedTensor(name: name, type: type ?? tensor.type, shape: tensor.shape, content: .stored(tensor))
        }
        guard scheme == .llmInt8 else {
            return try weight.coding.components.map { (component) throws(CrayonError) in
                exported(weight.sourceName + component.suffix, try stored(component.suffix))
            }
        }
        let module = Self.module(of: weight) ?? weight.sourceName
        let format = Tensor(
            name: module + ".weight_format", type: .u8, shape: Shape([]), region: ByteRegion(copying: [0]))
        return [
            exported(weight.sourceName, try stored(""), as: .i8),
            exported(module + ".SCB", try stored(Int8Tensor.Component.absmax.rawValue)),
            exported(format.name, format),
        ]
    }

    /// Whether a file of the bundle belongs to the checkpoint.
    func carries(_ name: String) -> Bool {
        !name.contains("/") && !(isTextModel && Self.otherFiles.contains(name))
    }

    fileprivate static func isLinear(_ weight: BundleWeight) -> Bool {
        switch weight.part {
        case .embeddings, .crayon: false
        case .backbone, .head, .vision, .projectors, .adapters: true
        }
    }

    /// The module that a weight belongs to; nil for biases and bare parameters.
    fileprivate static func module(of weight: BundleWeight) -> String? {
        let suffix = ".weight"
        return weight.sourceName.hasSuffix(suffix) ? String(weight.sourceName.dropLast(suffix.count)) : nil
    }

    /// The linear layers that are not quantized; nil where they are the head alone, as transformers assumes without a list.
    private static func skippedModules(_ weights: [BundleWeight], kept: Set<String>, _ model: ModelConfiguration)
        -> [String]?
    {
        let matrices = Set(model.parameters.filter(\.isMatrix).map(\.role))
        var skipped: [String] = []
        var head = model.backbone.isHeadTied ? headModule : nil
        for weight in weights where matrices.contains(weight.role) && isLinear(weight) && !kept.contains(weight.name) {
            guard let module = module(of: weight) else { continue }
            if weight.role == .head { head = module } else { skipped.append(module) }
        }
        if model.layout == Layout.llava.name {
            head = head.map { _ in headModule }
            skipped = LLaVAModules.names(of: skipped, kept: kept)
        }
        if skipped.isEmpty, head == headModule { return nil }
        return skipped + (head.map { [$0] } ?? [])
    }

    private static func quantization(_ scheme: Scheme, _ coding: BundleCoding, skipped: [String]?) -> JSONValue {
        configuration(
            isFourBit: scheme != .llmInt8, type: scheme == .fp4 ? .fp4 : .nf4, computeType: coding.type,
            isDouble: coding.nestedBlockSize != nil, skipped: skipped)
    }

    /// The `quantization_config` of a checkpoint in four bits.
    static func fourBits(
        type: FourBitType, computeType: ElementType, isDouble: Bool, skipped: [String]?
    ) -> JSONValue {
        configuration(isFourBit: true, type: type, computeType: computeType, isDouble: isDouble, skipped: skipped)
    }

    /// The keys that transformers writes, in its order.
    private static func configuration(
        isFourBit: Bool, type: FourBitType, computeType: ElementType, isDouble: Bool, skipped: [String]?
    ) -> JSONValue {
        [
            "_load_in_4bit": .bool(isFourBit), "_load_in_8bit": .bool(!isFourBit),
            "bnb_4bit_compute_dtype": computeType.torchName.map(JSONValue.string) ?? "float32",
            "bnb_4bit_quant_storage": "uint8", "bnb_4bit_quant_type": .string(type.rawValue),
            "bnb_4bit_use_double_quant": .bool(isDouble),
            "llm_int8_enable_fp32_cpu_offload": false, "llm_int8_has_fp16_weight": false,
            "llm_int8_skip_modules": skipped.map { .array($0.map(JSONValue.string)) } ?? .null,
            "llm_int8_threshold": 6.0, "load_in_4bit": .bool(isFourBit), "load_in_8bit": .bool(!isFourBit),
            "quant_method": "bitsandbytes",
        ]
    }
}

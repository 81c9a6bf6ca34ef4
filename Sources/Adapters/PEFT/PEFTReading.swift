import Bytes
import Checkpoints
import Tensors

/// The tensors of a PEFT folder, brought together by module and held against its configuration.
struct PEFTReading {
    private let files: PEFTFiles
    private var parts: [String: [PEFTTensorName.Kind: Tensor]] = [:]
    private(set) var replacements: [AdapterReplacement] = []

    private var configuration: PEFTConfiguration { files.configuration }
    private var isRestricted: Bool { configuration.restriction != nil }

    init(_ files: PEFTFiles) { self.files = files }

    /// Looks at every tensor.
    mutating func collect() throws(CrayonError) {
        let checkpoint = files.checkpoint
        var others: [(name: PEFTTensorName, tensor: Tensor)] = []
        for key in checkpoint.names {
            guard let tensor = try checkpoint.tensor(key) else { continue }
            let place = checkpoint.file(of: key)
            let name = try PEFTTensorName(key, isRestricted: isRestricted, place: place)
            checkpoint.willNeed(key)
            try tensor.checkFactor(in: place)
            switch name.kind {
            case .beside, .instead: others.append((name, tensor))
            default: parts[name.path, default: [:]][name.kind] = tensor
            }
        }
        for (name, tensor) in others {
            replacements.append(try replacement(name, tensor))
        }
        replacements.sort { ModuleOrder.precedes($0.name, $1.name) }
        guard !parts.isEmpty || !replacements.isEmpty else {
            throw CrayonError(
                .mismatch, in: checkpoint.place, found: "no tensors", expected: "pairs, or modules kept whole")
        }
    }

    func modules() throws(CrayonError) -> [AdapterModule] {
        var modules: [AdapterModule] = []
        for path in parts.keys.sorted(by: ModuleOrder.precedes) {
            modules.append(try module(path, parts[path] ?? [:]))
        }
        return modules
    }

    private func refuse(
        _ tensor: Tensor, _ found: String, _ expected: String, code: CrayonError.Code = .mismatch,
        advice: String? = nil
    ) -> CrayonError {
        CrayonError(
            code, in: files.checkpoint.file(of: tensor.name), item: "tensor '\(tensor.name)'", found: found,
            expected: expected, advice: advice)
    }

    private func module(
        _ path: String, _ tensors: [PEFTTensorName.Kind: Tensor]
    ) throws(CrayonError) -> AdapterModule {
        let isEmbedding = tensors[.embeddingA] != nil || tensors[.embeddingB] != nil
        let kinds: (a: PEFTTensorName.Kind, b: PEFTTensorName.Kind) =
            isEmbedding ? (.embeddingA, .embeddingB) : (.a, .b)
        func required(_ kind: PEFTTensorName.Kind, _ expected: String, advice: String) throws(CrayonError) -> Tensor {
            if let tensor = tensors[kind] { return tensor }
            throw CrayonError(
                .missing, in: files.checkpoint.place,
                item: "tensor '\(PEFTTensorName(path: path, kind: kind).key(isRestricted: isRestricted))'",
                found: "nothing", expected: expected, advice: advice)
        }
        let whole = "PEFT would go on with random or zero numbers; save or copy the adapter again."
        let a = try required(kinds.a, "both halves of a pair", advice: whole)
        let b = try required(kinds.b, "both halves of a pair", advice: whole)
        if isEmbedding, let stray = tensors[.a] ?? tensors[.b] {
            throw refuse(stray, "a second pair on an embedding", "'lora_embedding_A' and 'lora_embedding_B' alone")
        }
        guard configuration.targets(path) else {
            throw refuse(
                a, "a pair at a module that is no target",
                "only modules that 'target_modules' in adapter_config.json names",
                advice: "PEFT would leave the pair out; add the module to 'target_modules'.")
        }
        let rank = configuration.rank(of: path)
        for (tensor, axis) in [(a, 0), (b, 1)] {
            guard tensor.shape.rank == 2 else {
                throw refuse(
                    tensor, "shape \(tensor.shape)", "a matrix: pairs on convolutions are not done", code: .unsupported)
            }
            guard tensor.shape[axis] == rank, tensor.shape.count > 0 else {
                throw refuse(
                    tensor, "shape \(tensor.shape)",
                    axis == 0 ? "[\(rank), in] for rank \(rank)" : "[out, \(rank)] for rank \(rank)",
                    advice: "Check 'r' and 'rank_pattern' in adapter_config.json.")
            }
        }
        let out = Shape([b.shape[0]])
        return AdapterModule(
            path: path, kind: isEmbedding ? .embedding : .linear, rank: rank, alpha: configuration.alpha(of: path),
            isRankStabilized: configuration.isRankStabilized, a: AdapterFactor(a), b: AdapterFactor(b),
            magnitude: try vector(
                .magnitude, tensors, out, isAsked: configuration.hasMagnitudes, key: "use_dora", required),
            bias: try vector(.pairBias, tensors, out, isAsked: configuration.hasPairBiases, key: "lora_bias", required),
            isTransposed: !isEmbedding && configuration.isTransposed)
    }

    /// A vector that each module has if the configuration asks for it, and none has otherwise.
    private func vector(
        _ kind: PEFTTensorName.Kind, _ tensors: [PEFTTensorName.Kind: Tensor], _ shape: Shape, isAsked: Bool,
        key: String,
        _ required: (PEFTTensorName.Kind, String, String) throws(CrayonError) -> Tensor
    ) throws(CrayonError) -> Tensor? {
        guard isAsked else {
            guard let tensor = tensors[kind] else { return nil }
            throw refuse(
                tensor, "a tensor that adapter_config.json does not speak of", "'\(key)': true, or no such tensor",
                advice: "PEFT would leave it out; set '\(key)' to true if it was trained so.")
        }
        let tensor = try required(
            kind, "a tensor for every module, for '\(key)' is true", "Save or copy the adapter again.")
        guard tensor.shape == shape else {
            throw refuse(tensor, "shape \(tensor.shape)", "\(shape), the layer's outputs")
        }
        return tensor
    }

    private func replacement(_ name: PEFTTensorName, _ tensor: Tensor) throws(CrayonError) -> AdapterReplacement {
        guard let parameter = name.parameter, configuration.allows(name, pairs: Set(parts.keys)) else {
            throw refuse(
                tensor, "a full weight that adapter_config.json does not speak of",
                "a module that 'modules_to_save' names, an embedding or head, or a bias where 'bias' says so",
                advice:
                    "PEFT would take it without a word or drop it; name the module in 'modules_to_save', or remove the tensor."
            )
        }
        return AdapterReplacement(name: "\(name.path).\(parameter)", tensor: tensor)
    }
}

extension PEFTTensorName {
    /// The last word of a parameter of the base; nil for a part of a pair.
    var parameter: String? {
        switch kind {
        case .beside(let parameter), .instead(let parameter): parameter
        default: nil
        }
    }
}

extension PEFTConfiguration {
    /// Whether a folder may hold the parameter of the base that the name stands for.
    /// - Parameter pairs: the paths of the modules that have one.
    func allows(_ name: PEFTTensorName, pairs: Set<String>) -> Bool {
        guard restriction == nil else { return false }
        let last = name.path.split(separator: ".").last.map(String.init) ?? name.path
        let isVocabulary = PEFTFolder.vocabularyModules.contains(last)
        switch name.kind {
        case .beside("bias"): return pairs.contains(name.path) && trainedBiases != .none
        case .beside: return pairs.contains(name.path) && isVocabulary
        case .instead(let parameter):
            return keepsWhole(name.path) || isVocabulary || parameter == "bias" && trainedBiases == .all
        default: return false
        }
    }
}

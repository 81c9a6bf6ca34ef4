import Architecture
import Bytes
import JSON
import Tensors

/// A PEFT LoRA folder over a backbone, read as a low-rank set that acts at all positions on the hidden state.
///
/// PEFT itself says nothing about pairs that match no module, or modules without their pair; here each is an
/// error that names the tensor.
struct AdapterReading {
    let set: LowRankSet
    let checkpoint: any Checkpoint
    let tensors: [(role: Role, name: String)]
    let configurationFile: MappedFile

    /// - Parameter layout: the backbone's, whose names the adapter's module paths are.
    init(
        name: String, path: String, layout: Layout, backbone: BackboneConfiguration
    ) throws(CrayonError) {
        let files = try PEFTFiles(path: path)
        configurationFile = files.configurationFile
        let configuration = files.configuration
        try configuration.checkRunnable()
        let checkpoint = files.checkpoint
        self.checkpoint = checkpoint

        var modules: [String: (layer: Int, module: BackboneModule)] = [:]
        var paths: [String] = []
        for layer in 0..<backbone.layerCount {
            for module in backbone.modules {
                guard let source = layout.sourceName(of: .backbone(layer, module)) else { continue }
                let path = String(source.dropLast(".weight".count))
                modules[path] = (layer, module)
                if let plain = Layout.plainModule(path) { modules[plain] = (layer, module) }
                paths.append(path)
            }
        }
        var tensors: [(role: Role, name: String)] = []
        /// The path by which the adapter knows the module.
        var found: [Role: String] = [:]
        for key in checkpoint.names {
            let place = checkpoint.file(of: key)
            let (path, factor) = try Self.pair(key, place: place)
            guard let (layer, module) = modules[path] else {
                throw Self.stranger(key, path, place: place, layout: layout, backbone: backbone)
            }
            guard configuration.targets(path) else {
                throw CrayonError(
                    .mismatch, in: place, item: "tensor '\(key)'", found: "a pair at a module that is no target",
                    expected: "only modules that 'target_modules' in adapter_config.json names")
            }
            guard let tensor = try checkpoint.tensor(key) else { continue }
            let rank = configuration.rank(of: path)
            let (out, input) = backbone.extents(of: module)
            let expected = factor == .a ? Shape([rank, input]) : Shape([out, rank])
            guard tensor.shape == expected else {
                throw CrayonError(
                    .mismatch, in: place, item: "tensor '\(key)'", found: "shape \(tensor.shape)",
                    expected: "\(expected), for rank \(rank) on a layer of \(out) x \(input)",
                    advice:
                        "Check 'r' and 'rank_pattern' in adapter_config.json, and that the adapter is for this base.")
            }
            try tensor.checkFactor(in: place)
            let role = Role.adapter(name, layer, module, factor)
            found[role] = path
            tensors.append((role, key))
        }
        var missing: [String] = []
        for path in paths
        where configuration.targets(path) || Layout.plainModule(path).map(configuration.targets) == true {
            guard let (layer, module) = modules[path] else { continue }
            for factor in LowRankFactor.allCases where found[.adapter(name, layer, module, factor)] == nil {
                missing.append(PEFTTensorName(path: path, kind: factor == .a ? .a : .b).key())
            }
        }
        guard missing.isEmpty else {
            throw CrayonError(
                .missing, in: path, found: "\(missing.count) tensors missing: \(ShardedFolder.list(missing))",
                expected: "a pair for every module that 'target_modules' names",
                advice: "Check that the adapter was trained on this base.")
        }
        var acting: [BackboneModule] = []
        for module in backbone.modules {
            let layers = (0..<backbone.layerCount).filter { found[.adapter(name, $0, module, .a)] != nil }
            guard !layers.isEmpty else { continue }
            guard layers.count == backbone.layerCount else {
                throw CrayonError(
                    .unsupported, in: configuration.place, item: "key 'target_modules'",
                    found: "\(module.rawValue) of \(layers.count) of \(backbone.layerCount) layers, "
                        + "the first of them \(layers[0])",
                    expected: "modules of every layer or of none")
            }
            acting.append(module)
        }
        guard !acting.isEmpty else {
            throw CrayonError(
                .mismatch, in: path, found: "no pair",
                expected: "'target_modules' that name linear layers of the backbone")
        }
        var set = LowRankSet(
            name: name, rank: configuration.rank, alpha: configuration.alpha,
            isRankStabilized: configuration.isRankStabilized, modules: acting, scope: .all, input: .hidden)
        for (role, path) in found {
            guard let (layer, module) = modules[path], role == .adapter(name, layer, module, .a) else { continue }
            let exception = LowRankSet.Exception(
                rank: configuration.rank(of: path), alpha: configuration.alpha(of: path))
            if acting.contains(module), exception != .init(rank: set.rank, alpha: set.alpha) {
                set.exceptions["layers.\(layer).\(module.rawValue)"] = exception
            }
        }
        self.set = set
        self.tensors = tensors
    }

    /// The module path and which half of its pair a key names.
    private static func pair(_ key: String, place: String) throws(CrayonError) -> (String, LowRankFactor) {
        let name = try PEFTTensorName(key, place: place)
        let found: String
        switch name.kind {
        case .a: return (name.path, .a)
        case .b: return (name.path, .b)
        case .pairBias: found = "a bias of a pair (lora_bias)"
        case .magnitude: found = "a magnitude of DoRA"
        case .embeddingA, .embeddingB: found = "a pair on an embedding"
        case .beside, .instead: found = "a full weight (modules_to_save or a stray tensor)"
        }
        throw CrayonError(
            .unsupported, in: place, item: "tensor '\(key)'", found: found,
            expected: "pairs named 'lora_A.weight' and 'lora_B.weight'")
    }

    private static func stranger(
        _ key: String, _ path: String, place: String, layout: Layout, backbone: BackboneConfiguration
    ) -> CrayonError {
        let role = layout.role(of: path + ".weight")
        let layer = role.flatMap { $0.rawValue.split(separator: ".").dropFirst(2).first }.flatMap { Int($0) }
        if let layer, layer >= backbone.layerCount {
            return CrayonError(
                .mismatch, in: place, item: "tensor '\(key)'", found: "layer \(layer)",
                expected: "0 to \(backbone.layerCount - 1), the layers of the base",
                advice: "The adapter was trained on another base.")
        }
        return CrayonError(
            role == nil ? .mismatch : .unsupported, in: place, item: "tensor '\(key)'",
            found: role == nil ? "no module '\(path)' in the base" : "a pair on \(role?.rawValue ?? path)",
            expected: "a linear layer of a block, such as '\(layout.sourceName(of: .backbone(0, .output)) ?? "")'",
            advice: role == nil ? "The adapter was trained on another base." : nil)
    }
}

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

    private static let prefix = "base_model.model."

    /// - Parameter layout: the backbone's, whose names the adapter's module paths are.
    init(
        name: String, path: String, layout: Layout, backbone: BackboneConfiguration
    ) throws(CrayonError) {
        let folder = try FolderFiles(path: path)
        guard let configurationPath = try folder.path(of: "adapter_config.json") else {
            throw CrayonError(
                .missing, in: path, item: "adapter_config.json", found: "nothing", expected: "a PEFT LoRA folder")
        }
        configurationFile = try MappedFile(path: configurationPath)
        let configuration = try AdapterConfiguration(file: configurationPath)
        let checkpoint = try openCheckpoint(folder: folder, name: "adapter_model.safetensors")
        self.checkpoint = checkpoint

        var modules: [String: (layer: Int, module: BackboneModule)] = [:]
        var paths: [String] = []
        for layer in 0..<backbone.layerCount {
            for module in backbone.modules {
                guard let source = layout.sourceName(of: .backbone(layer, module)) else { continue }
                let path = String(source.dropLast(".weight".count))
                modules[path] = (layer, module)
                paths.append(path)
            }
        }
        var tensors: [(role: Role, name: String)] = []
        var found: Set<Role> = []
        for key in checkpoint.names {
            let place = checkpoint.file(of: key)
            let (path, factor) = try Self.parse(key, place: place)
            guard let (layer, module) = modules[path] else {
                throw Self.stranger(key, path, place: place, layout: layout, backbone: backbone)
            }
            guard configuration.targets(path) else {
                throw CrayonError(
                    .mismatch, in: place, item: "tensor '\(key)'", found: "a pair at a module that is no target",
                    expected: "only modules that 'target_modules' in adapter_config.json names")
            }
            guard let tensor = checkpoint.tensor(key) else { continue }
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
            try Self.checkNumbers(tensor, place: place)
            let role = Role.adapter(name, layer, module, factor)
            found.insert(role)
            tensors.append((role, key))
        }
        var missing: [String] = []
        for path in paths where configuration.targets(path) {
            guard let (layer, module) = modules[path] else { continue }
            for factor in LowRankFactor.allCases where !found.contains(.adapter(name, layer, module, factor)) {
                missing.append("\(Self.prefix)\(path).lora_\(factor == .a ? "A" : "B").weight")
            }
        }
        guard missing.isEmpty else {
            throw CrayonError(
                .missing, in: path, found: "\(missing.count) tensors missing: \(SafetensorsFolder.list(missing))",
                expected: "a pair for every module that 'target_modules' names",
                advice: "Check that the adapter was trained on this base.")
        }
        var acting: [BackboneModule] = []
        for module in backbone.modules {
            let layers = (0..<backbone.layerCount).filter { found.contains(.adapter(name, $0, module, .a)) }
            guard !layers.isEmpty else { continue }
            guard layers.count == backbone.layerCount else {
                throw CrayonError(
                    .unsupported, in: configurationPath, item: "key 'target_modules'",
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
        for path in paths {
            guard let (layer, module) = modules[path] else { continue }
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
    private static func parse(_ key: String, place: String) throws(CrayonError) -> (String, LowRankFactor) {
        func refuse(_ found: String, _ expected: String, _ code: CrayonError.Code = .unsupported) -> CrayonError {
            CrayonError(code, in: place, item: "tensor '\(key)'", found: found, expected: expected)
        }
        let pairs = "pairs named 'lora_A.weight' and 'lora_B.weight'"
        guard key.hasPrefix(prefix) else { throw refuse("a name without '\(prefix)'", pairs, .malformed) }
        let rest = String(key.dropFirst(prefix.count))
        for (suffix, factor) in [(".lora_A.weight", LowRankFactor.a), (".lora_B.weight", .b)]
        where rest.hasSuffix(suffix) { return (String(rest.dropLast(suffix.count)), factor) }
        if rest.hasSuffix(".lora_B.bias") { throw refuse("a bias of a pair (lora_bias)", pairs) }
        if rest.contains(".lora_magnitude_vector") { throw refuse("a magnitude of DoRA", pairs) }
        if rest.contains(".lora_embedding_") { throw refuse("a pair on an embedding", "pairs on linear layers") }
        if rest.contains(".lora_A.") || rest.contains(".lora_B.") {
            throw refuse("a key with an adapter's name in it", pairs, .malformed)
        }
        throw refuse("a full weight (modules_to_save or a stray tensor)", pairs)
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

    /// Adapters are small and PEFT loads one with NaN in it silently, so each is read through here.
    private static func checkNumbers(_ tensor: Tensor, place: String) throws(CrayonError) {
        let bytes = tensor.region.buffer
        let bad: Int?
        switch tensor.type {
        case .f32: bad = firstNonFinite(bytes, UInt32.self, exponent: 0x7F80_0000)
        case .f16: bad = firstNonFinite(bytes, UInt16.self, exponent: 0x7C00)
        case .bf16: bad = firstNonFinite(bytes, UInt16.self, exponent: 0x7F80)
        case .f64: bad = firstNonFinite(bytes, UInt64.self, exponent: 0x7FF0_0000_0000_0000)
        default:
            throw CrayonError(
                .unsupported, in: place, item: "tensor '\(tensor.name)'",
                found: "elements of type \(tensor.type.rawValue)",
                expected: "F32, F16, BF16 or F64")
        }
        if let bad {
            throw CrayonError(
                .notFinite, in: place, item: "tensor '\(tensor.name)'", found: "NaN or infinity at index \(bad)",
                expected: "finite numbers")
        }
    }

    private static func firstNonFinite<Bits: FixedWidthInteger & BitwiseCopyable>(
        _ bytes: UnsafeRawBufferPointer, _ type: Bits.Type, exponent: Bits
    ) -> Int? {
        let size = MemoryLayout<Bits>.size
        return (0..<bytes.count / size).first {
            bytes.loadUnaligned(fromByteOffset: $0 * size, as: Bits.self) & exponent == exponent
        }
    }
}

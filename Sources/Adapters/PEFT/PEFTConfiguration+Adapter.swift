import Architecture
import Bytes
import Checkpoints
import JSON

extension PEFTConfiguration {
    /// Whether the file says of every pair what it is.
    func describes(_ adapter: Adapter) -> Bool {
        let pairs = Set(adapter.modules.map(\.path))
        return restriction == adapter.restriction
            && adapter.modules.allSatisfy { module in
                targets(module.path) && rank(of: module.path) == module.rank && alpha(of: module.path) == module.alpha
                    && isRankStabilized == module.isRankStabilized && hasMagnitudes == (module.magnitude != nil)
                    && (hasPairBiases || module.bias == nil)
                    && (module.kind == .embedding || isTransposed == module.isTransposed)
            }
            && adapter.replacements.allSatisfy {
                allows(PEFTTensorName(replacing: $0.name, pairs: pairs), pairs: pairs)
            }
    }

    /// The file for an adapter, with keys that PEFT has had since 0.5 and those that the adapter needs: older releases warn of
    /// keys that they do not know. Modules are named whole, since an end such as `q_proj` would match a vision tower's too.
    /// - Throws: `CrayonError` for what the format cannot say.
    init(describing adapter: Adapter, baseName: String?) throws(CrayonError) {
        let description = try PEFTDescription(adapter)
        for isAnchored in [false, true] {
            let configuration = try PEFTConfiguration(
                description.object(baseName: baseName, isAnchored: isAnchored), place: adapter.place)
            if configuration.describes(adapter.foldedForPEFT) {
                self = configuration
                return
            }
        }
        throw CrayonError(
            .unsupported, in: adapter.place, found: "pairs that adapter_config.json has no words for",
            expected: "modules whose paths tell them apart")
    }
}

/// What `adapter_config.json` says of an adapter.
private struct PEFTDescription {
    private let adapter: Adapter
    private let rank: Int
    private let alpha: Double

    init(_ original: Adapter) throws(CrayonError) {
        let adapter = original.foldedForPEFT
        self.adapter = adapter
        func refuse(_ module: AdapterModule, _ found: String, _ expected: String) -> CrayonError {
            CrayonError(
                .unsupported, in: adapter.place, item: "module '\(module.path)'", found: found, expected: expected)
        }
        let linear = adapter.modules.filter { $0.kind == .linear }
        for module in adapter.modules {
            guard (module.magnitude != nil) == (adapter.modules[0].magnitude != nil) else {
                throw refuse(module, "DoRA's magnitudes in some modules only", "all of them or none, as PEFT has it")
            }
            guard module.bias == nil || module.magnitude == nil else {
                throw refuse(module, "a bias of a pair beside DoRA's magnitude", "one of the two, as PEFT has it")
            }
            guard module.kind == .linear || adapter.modules.allSatisfy({ $0.bias == nil }) else {
                throw refuse(module, "a pair on an embedding beside biases of pairs", "one of the two, as PEFT has it")
            }
        }
        for module in linear where module.isTransposed != linear[0].isTransposed {
            throw refuse(module, "a base of both orientations", "'fan_in_fan_out' for all linear layers or none")
        }
        if adapter.restriction != nil, let replacement = adapter.replacements.first {
            throw CrayonError(
                .unsupported, in: adapter.place, item: "tensor '\(replacement.name)'",
                found: "a whole weight beside pairs that act at some positions", expected: "pairs alone")
        }
        rank = Self.commonest(adapter.modules.map(\.rank)) ?? 8
        alpha = Self.commonest(adapter.modules.map(\.alpha)) ?? 8
    }

    /// - Parameter isAnchored: whether patterns are tied to the whole path, for a model in which one path ends another.
    func object(baseName: String?, isAnchored: Bool) -> JSONObject {
        func key(_ path: String) -> String {
            isAnchored ? "^" + path.split(separator: ".").joined(separator: "\\.") : path
        }
        func pattern(_ value: (AdapterModule) -> JSONValue, _ isException: (AdapterModule) -> Bool) -> JSONValue {
            var object = JSONObject()
            for module in adapter.modules.sorted(by: { $0.path < $1.path }) where isException(module) {
                object[key(module.path)] = value(module)
            }
            return .object(object)
        }
        let pairs = Set(adapter.modules.map(\.path))
        let whole = adapter.replacements.map { PEFTTensorName(replacing: $0.name, pairs: pairs) }
        var saved: [String] = []
        var biases = PEFTConfiguration.TrainedBiases.none
        for name in whole {
            switch name.kind {
            case .beside("bias"): if biases == .none { biases = .pairs }
            case .instead("bias") where !whole.contains(.init(path: name.path, kind: .instead("weight"))): biases = .all
            case .instead: if !saved.contains(name.path) { saved.append(name.path) }
            default: break
            }
        }
        var members: [(name: String, value: JSONValue)] = [
            ("alpha_pattern", pattern({ Self.number($0.alpha) }, { $0.alpha != alpha })), ("auto_mapping", .null),
            ("base_model_name_or_path", baseName.map { .string($0) } ?? .null), ("bias", .string(biases.rawValue)),
            ("fan_in_fan_out", .bool(adapter.modules.contains { $0.isTransposed })), ("inference_mode", true),
            ("init_lora_weights", true), ("layers_pattern", .null), ("layers_to_transform", .null),
            ("lora_alpha", Self.number(alpha)), ("lora_dropout", .double(0)),
            ("modules_to_save", saved.isEmpty ? .null : .array(saved.map { .string($0) })), ("peft_type", "LORA"),
            ("r", .int(rank)), ("rank_pattern", pattern({ .int($0.rank) }, { $0.rank != rank })), ("revision", .null),
            ("target_modules", .array(adapter.modules.map { .string($0.path) })), ("task_type", "CAUSAL_LM"),
        ]
        if adapter.modules.contains(where: { $0.isRankStabilized }) { members.append(("use_rslora", true)) }
        if adapter.modules.contains(where: { $0.magnitude != nil }) { members.append(("use_dora", true)) }
        if adapter.modules.contains(where: { $0.bias != nil }) { members.append(("lora_bias", true)) }
        if let restriction = adapter.restriction {
            members.removeAll { $0.name == "peft_type" || $0.name == "task_type" }
            members += restriction.members
        }
        var object = JSONObject()
        for (name, value) in members.sorted(by: { $0.name < $1.name }) { object[name] = value }
        return object
    }

    /// The value that most have; of several, the first.
    private static func commonest<Value: Hashable>(_ values: [Value]) -> Value? {
        var counts: [Value: Int] = [:]
        for value in values { counts[value, default: 0] += 1 }
        let most = counts.values.max()
        return values.first { counts[$0] == most }
    }

    private static func number(_ value: Double) -> JSONValue {
        if let whole = Int(exactly: value) { return .int(whole) }
        return .double(value)
    }
}

extension Adapter {
    /// What the file must say of where the pairs act; nil for PEFT's own.
    var restriction: PEFTRestriction? {
        if scope == .all, input == .hidden { return nil }
        return PEFTRestriction(positions: scope.rawValue, input: input.rawValue)
    }

    /// With one rule for the scale: where modules differ in it, alpha is made such that alpha / rank is right.
    var foldedForPEFT: Adapter {
        let count = modules.count { $0.isRankStabilized }
        guard count > 0, count < modules.count else { return self }
        var folded = self
        folded.modules = modules.map { module in
            var module = module
            module.alpha = module.scale * Double(module.rank)
            module.isRankStabilized = false
            return module
        }
        return folded
    }
}

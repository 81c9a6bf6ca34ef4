import Architecture
import Bytes
import Tensors

/// Brings the tensors of all sources and the parameters of the configuration together.
struct ParameterBinder {
    private let configuration: ModelConfiguration
    private let parameters: [Parameter]
    private var claims: [Role: Claim] = [:]
    private var freshGroups: [String] = []
    private(set) var origins: [CheckpointModel.Origin] = []

    private struct Claim {
        var entry: TensorEntry
        var values: Binding.Values
        var origin: Int
    }

    init(_ configuration: ModelConfiguration) {
        self.configuration = configuration
        parameters = configuration.parameters
    }

    mutating func add(_ source: OpenedSource) {
        for (role, name) in source.context.names {
            guard let entry = source.checkpoint.entry(name) else { continue }
            claims[role] = Claim(entry: entry, values: .stored(source.checkpoint), origin: origins.count)
        }
        origins.append(.init(kind: source.kind, place: source.place, checkpoint: source.checkpoint))
    }

    mutating func add(_ adapter: AdapterReading) {
        for (role, name) in adapter.tensors {
            guard let entry = adapter.checkpoint.entry(name) else { continue }
            claims[role] = Claim(entry: entry, values: .stored(adapter.checkpoint), origin: origins.count)
        }
        origins.append(.init(kind: .adapter, place: adapter.checkpoint.place, checkpoint: adapter.checkpoint))
    }

    /// Makes the crayon tables and the projectors that no source has. A group of which a source has some is
    /// left as it is, so that the rest is reported missing.
    mutating func addFresh(seed: UInt64) {
        let groups: KeyValuePairs = [
            "crayon.": "crayon queries", "projectors.image.": "image projector",
            "projectors.crayon.": "crayon projector",
        ]
        for (prefix, title) in groups where !claims.keys.contains(where: { $0.rawValue.hasPrefix(prefix) }) {
            freshGroups.append(title)
            for parameter in parameters where parameter.role.rawValue.hasPrefix(prefix) {
                let name = Layout.crayonFile.sourceName(of: parameter.role) ?? parameter.role.rawValue
                let tensor = FreshWeights.tensor(parameter, name: name, seed: seed)
                claims[parameter.role] = Claim(
                    entry: TensorEntry(tensor), values: .made(tensor), origin: origins.count)
            }
        }
        if !freshGroups.isEmpty { origins.append(.init(kind: .fresh, place: "seed \(seed)", checkpoint: nil)) }
    }

    /// The bindings in the order of the parameters.
    /// - Throws: `CrayonError` for tensors that are missing, have another shape, or are no floats.
    func bind(_ opened: OpenedParts) throws(CrayonError) -> [Binding] {
        var bindings: [Binding] = []
        bindings.reserveCapacity(parameters.count)
        var missing: [(place: String, name: String)] = []
        for parameter in parameters {
            guard let claim = claims[parameter.role] else {
                if parameter.isRequired { missing.append(expected(parameter, opened)) }
                continue
            }
            let place = origins[claim.origin].checkpoint?.file(of: claim.entry.name) ?? origins[claim.origin].place
            guard claim.entry.shape == parameter.shape else {
                throw CrayonError(
                    .mismatch, in: place, item: "tensor '\(claim.entry.name)'", found: "shape \(claim.entry.shape)",
                    expected: "\(parameter.shape) for \(parameter.role)", advice: advice(parameter))
            }
            guard claim.entry.type.isFloat else {
                throw CrayonError(
                    .unsupported, in: place, item: "tensor '\(claim.entry.name)'",
                    found: "elements of type \(claim.entry.type.rawValue)", expected: "F32, F16, BF16 or F64")
            }
            bindings.append(
                Binding(
                    role: parameter.role, parameter: parameter, entry: claim.entry, origin: claim.origin,
                    values: claim.values))
        }
        if let first = missing.first {
            let names = missing.map(\.name)
            throw CrayonError(
                .missing, in: first.place,
                found: "\(names.count) tensor\(names.count == 1 ? "" : "s") missing: \(ShardedFolder.list(names))",
                expected: "every tensor that the configuration calls for",
                advice: "Check that every shard is there and that config.json belongs to these tensors.")
        }
        return bindings
    }

    /// Tensors without a role, and with one that the configuration has no parameter for.
    func unused(_ opened: OpenedParts) -> [UnusedTensor] {
        let bound = Set(parameters.map(\.role))
        var list: [UnusedTensor] = []
        for source in opened.sources {
            list += source.context.unused
            let roles = Dictionary(uniqueKeysWithValues: source.context.names.map { ($0.value, $0.key) })
            for name in source.checkpoint.names {
                guard let role = roles[name], !bound.contains(role) else { continue }
                let reason = role == .head ? "the head is tied to the embeddings" : "the configuration has no \(role)"
                list.append(UnusedTensor(name: name, file: source.checkpoint.file(of: name), reason: reason))
            }
        }
        return list
    }

    func warnings(_ opened: OpenedParts) -> [String] {
        var warnings: [String] = []
        if let fresh = origins.last, fresh.kind == .fresh {
            warnings.append(
                "no file has the \(freshGroups.joined(separator: ", the ")); made fresh from \(fresh.place)")
        }
        for source in opened.sources {
            let unknown = source.context.unused.filter { $0.reason == nil }.map(\.name)
            guard !unknown.isEmpty else { continue }
            warnings.append(
                "\(source.place): \(unknown.count) tensor\(unknown.count == 1 ? "" : "s") that layout "
                    + "'\(source.layout.name)' does not know, left out: \(ShardedFolder.list(unknown))")
        }
        return warnings
    }

    /// Where a missing tensor should have been, and under which name.
    private func expected(_ parameter: Parameter, _ opened: OpenedParts) -> (place: String, name: String) {
        let source: OpenedSource? =
            switch parameter.part {
            case .vision: opened.vision
            case .crayon, .projectors: opened.crayon
            default: nil
            }
        let holder = source ?? opened.base
        return (holder.place, holder.layout.sourceName(of: parameter.role) ?? parameter.role.rawValue)
    }

    /// The keys that a shape of the backbone follows from.
    private func advice(_ parameter: Parameter) -> String? {
        let backbone = configuration.backbone
        switch parameter.part {
        case .backbone, .embeddings, .head:
            return "config.json says hidden_size \(backbone.hiddenSize), num_attention_heads \(backbone.headCount), "
                + "num_key_value_heads \(backbone.keyValueHeadCount), head size \(backbone.headSize), "
                + "intermediate_size \(backbone.intermediateSize), vocab_size \(backbone.vocabularySize); "
                + "one of them does not belong to these tensors."
        default: return nil
        }
    }
}

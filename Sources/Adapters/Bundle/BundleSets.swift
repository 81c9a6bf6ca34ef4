import Architecture
public import BundleFormat
public import Bytes
import Checkpoints
import Quantization
import Tensors

/// Low-rank sets put into a bundle and taken out of it; its other weights stay as they are.
extension BundleRewrite {
    /// Puts an adapter into the bundle as a set, each factor as its source has it.
    ///
    /// - Parameters:
    ///   - name: letters, digits, `-` and `_`; not one that the bundle has.
    ///   - isActive: whether it acts when nobody says otherwise.
    /// - Throws: `CrayonError` for a name that is taken, an adapter that does not fit the backbone, and what a set cannot hold:
    ///   DoRA, biases, embeddings, whole weights, modules of some layers only.
    public mutating func add(_ adapter: Adapter, as name: String, isActive: Bool = true) throws(CrayonError) {
        guard !model.lowRankSets.contains(where: { $0.name == name }) else {
            throw CrayonError(
                .usage, in: base.place, item: "set '\(name)'", found: "a set of that name",
                expected: "a new name", advice: "Use 'crayon adapter replace', or another name.")
        }
        try adapter.check(against: BundleBase(base))
        let plan = try SetPlan(adapter, name: name, isActive: isActive, bundle: base)
        guard plan.set.input == .hidden || model.crayon != nil else {
            throw CrayonError(
                .mismatch, in: adapter.place, found: "pairs that read the crayon prompt",
                expected: "a bundle with crayon queries; \(base.place) has none")
        }
        model.lowRankSets.append(plan.set)
        if plan.set.input == .crayon, plan.set.isActive { model.crayon?.entry = .lowRank }
        for (weight, factor) in plan.weights {
            set(weight) { () throws(CrayonError) in (.dense(try factor.tensor()), [:]) }
        }
        files += plan.files
        reads(adapter.checkUnchanged)
        if isActive { keepsProbes = false }
    }

    /// Writes the bundle with a step in its history that names the sets and has the digests of what went in.
    /// - Parameters:
    ///   - kind: `add`, `replace` or `remove`.
    ///   - sets: the names concerned, with the adapters that went in.
    /// - Returns: the manifest as written.
    @discardableResult
    public func write(
        to output: String, kind: String, sets: [(name: String, adapter: Adapter?)],
        progress: (String, Int, Int) -> Void = { _, _, _ in }
    ) throws(CrayonError) -> BundleManifest {
        var sources: [BundleSource] = []
        for (name, adapter) in sets {
            if let adapter { sources.append(try adapter.source(named: name)) }
        }
        let step = BundleStep(
            kind: kind, producer: Producer.name, options: ["sets": sets.map(\.name).joined(separator: ", ")],
            sources: sources)
        return try write(to: output, step: step, progress: progress)
    }

    /// Puts an adapter in the place of a set, active as that was.
    /// - Throws: `CrayonError` as `add` and `removeSet` do.
    public mutating func replaceSet(_ name: String, with adapter: Adapter) throws(CrayonError) {
        let isActive = try takeSet(name).isActive
        try add(adapter, as: name, isActive: isActive)
        try checkEntry(without: name)
    }

    /// Takes a set out.
    /// - Throws: `CrayonError` when the bundle has no such set, or the crayon prompt could not enter without it.
    public mutating func removeSet(_ name: String) throws(CrayonError) {
        _ = try takeSet(name)
        try checkEntry(without: name)
    }

    private func checkEntry(without name: String) throws(CrayonError) {
        if model.crayon?.entry == .lowRank, !model.lowRankSets.contains(where: { $0.input == .crayon }) {
            throw CrayonError(
                .usage, in: base.place, item: "set '\(name)'", found: "the only set that reads the crayon prompt",
                expected: "one that can go: without it the crayon prompt would not enter the backbone",
                advice: "Put another such set in its place.")
        }
    }

    private mutating func takeSet(_ name: String) throws(CrayonError) -> LowRankSet {
        guard let index = model.lowRankSets.firstIndex(where: { $0.name == name }) else {
            let names = model.lowRankSets.map { "'\($0.name)'" }
            throw CrayonError(
                .missing, in: base.place, item: "set '\(name)'", found: "nothing of that name",
                expected: names.isEmpty ? "a bundle with low-rank sets" : "one of " + names.joined(separator: ", "))
        }
        let set = model.lowRankSets.remove(at: index)
        let prefix = "adapters.\(name)."
        removeWeights { $0.role.rawValue.hasPrefix(prefix) }
        files.removeAll { $0.name.hasPrefix("adapters/\(name)/") }
        if set.isActive { keepsProbes = false }
        return set
    }
}

/// What an adapter becomes in a bundle.
private struct SetPlan {
    let set: LowRankSet
    let weights: [(weight: BundleWeight, factor: AdapterFactor)]
    let files: [AuxiliaryFile]

    init(_ adapter: Adapter, name: String, isActive: Bool, bundle: BundleReader) throws(CrayonError) {
        func refuse(_ item: String?, _ found: String, _ expected: String, _ advice: String? = nil) -> CrayonError {
            CrayonError(
                .unsupported, in: adapter.place, item: item, found: found, expected: expected, advice: advice)
        }
        guard LowRankSet.isName(name) else {
            throw CrayonError(
                .usage, in: "set name", found: "'\(name)'", expected: "letters, digits, '-' and '_'")
        }
        let merging = "Merge it into the weights instead: 'crayon adapter merge'."
        if let whole = adapter.replacements.first {
            throw refuse(
                "tensor '\(whole.tensor.name)'", "a whole weight (modules_to_save, a trained bias)", "pairs alone",
                merging)
        }
        let backbone = bundle.configuration.backbone
        var places: [String: (layer: Int, module: BackboneModule)] = [:]
        for layer in 0..<backbone.layerCount {
            for module in backbone.modules {
                guard let entry = bundle.entry(.backbone(layer, module)) else { continue }
                let weight = BaseWeight(
                    name: entry.sourceName, shape: Shape(entry.coding.shape), type: entry.coding.type, storage: .dense)
                for path in [weight.module, weight.module.flatMap(Layout.plainModule)].compactMap({ $0 }) {
                    places[path] = (layer, module)
                }
            }
        }
        var found: [BackboneModule: [Int: AdapterModule]] = [:]
        for module in adapter.modules {
            let item = "module '\(module.path)'"
            guard let (layer, place) = places[module.path] else {
                throw refuse(item, "a module outside the backbone's blocks", "linear layers of the blocks", merging)
            }
            guard module.magnitude == nil else { throw refuse(item, "a magnitude of DoRA", "plain pairs", merging) }
            guard module.bias == nil else { throw refuse(item, "a bias of a pair", "plain pairs", merging) }
            guard !module.isTransposed, module.kind == .linear else {
                throw refuse(item, "a pair for a weight that lies the other way", "plain pairs", merging)
            }
            found[place, default: [:]][layer] = module
        }
        let acting = backbone.modules.filter { found[$0] != nil }
        for module in acting where found[module]?.count != backbone.layerCount {
            throw refuse(
                nil, "\(module.rawValue) of \(found[module]?.count ?? 0) of \(backbone.layerCount) layers",
                "modules of every layer or of none", merging)
        }
        guard let first = acting.first.flatMap({ found[$0]?[0] }) else {
            throw refuse(nil, "no pair", "pairs on linear layers of the backbone")
        }
        var set = LowRankSet(
            name: name, rank: first.rank, alpha: first.alpha, isRankStabilized: first.isRankStabilized,
            modules: acting, scope: adapter.scope, input: adapter.input, isActive: isActive)
        var weights: [(weight: BundleWeight, factor: AdapterFactor)] = []
        let isRestricted = adapter.restriction != nil
        for layer in 0..<backbone.layerCount {
            for place in acting {
                guard let module = found[place]?[layer] else { continue }
                // One rule for the scale in a set: where modules differ in it, alpha is made such that it is right.
                let alpha =
                    module.isRankStabilized == set.isRankStabilized
                    ? module.alpha : module.scale * Self.divisor(rank: module.rank, set.isRankStabilized)
                if module.rank != set.rank || alpha != set.alpha {
                    set.exceptions["layers.\(layer).\(place.rawValue)"] = .init(rank: module.rank, alpha: alpha)
                }
                for (half, factor, kind) in [
                    (LowRankFactor.a, module.a, PEFTTensorName.Kind.a), (.b, module.b, .b),
                ] {
                    let key = PEFTTensorName(path: module.path, kind: kind).key(isRestricted: isRestricted)
                    let coding = BundleCoding(storing: .dense(try factor.tensor()))
                    weights.append(
                        (
                            BundleWeight(
                                role: .adapter(name, layer, place, half), part: .adapters,
                                name: "adapters.\(name).\(key)", sourceName: key, origin: "adapters/\(name)",
                                coding: coding), factor
                        ))
                }
            }
        }
        self.set = set
        self.weights = weights
        let text = try PEFTFolder.configuration(of: adapter, baseName: nil).text
        files = [
            AuxiliaryFile(
                name: "adapters/\(name)/\(PEFTConfiguration.fileName)", region: ByteRegion(copying: Array(text.utf8)))
        ]
    }

    private static func divisor(rank: Int, _ isRankStabilized: Bool) -> Double {
        isRankStabilized ? Double(rank).squareRoot() : Double(rank)
    }
}

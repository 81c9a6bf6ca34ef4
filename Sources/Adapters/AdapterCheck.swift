public import Bytes
import Tensors

extension Adapter {
    /// That the adapter fits a base: every module is there with the pair's width, and every layer of the base that its files
    /// promise a pair for has one.
    /// - Throws: `CrayonError` naming the module, and the base that the adapter says it was trained on.
    public func check(against base: any BaseModel) throws(CrayonError) {
        let fit = BaseFit(self, base)
        for module in modules { try fit.check(module) }
        for replacement in replacements { try fit.check(replacement) }
        try fit.checkLayers()
    }
}

/// An adapter and a base, held against each other by names and shapes.
private struct BaseFit {
    private let adapter: Adapter
    private let base: any BaseModel
    /// Matrices by their module.
    private var modules: [String: BaseWeight] = [:]
    private var weights: [String: BaseWeight] = [:]
    /// Layers of the base, by what is the same module in each.
    private var layers: [String: Set<Int>] = [:]

    init(_ adapter: Adapter, _ base: any BaseModel) {
        self.adapter = adapter
        self.base = base
        for weight in base.weights { weights[weight.name] = weight }
        modules = base.modules
        for module in modules.keys {
            let (template, layer) = ModuleOrder.template(module)
            if let layer { layers[template, default: []].insert(layer) }
        }
    }

    private var advice: String {
        "The adapter was trained on another base" + (adapter.baseName.map { ": it says '\($0)'." } ?? ".")
    }

    private func refuse(_ item: String, _ found: String, _ expected: String, advice: String? = nil) -> CrayonError {
        CrayonError(
            .mismatch, in: adapter.place, item: item, found: found, expected: expected, advice: advice ?? self.advice)
    }

    func check(_ module: AdapterModule) throws(CrayonError) {
        let item = "module '\(module.path)'"
        guard let weight = modules[module.path] else {
            let (template, layer) = ModuleOrder.template(module.path)
            if let layer, let known = layers[template], let first = known.min(), let last = known.max() {
                throw refuse(item, "layer \(layer)", "\(first) to \(last), the layers of the base \(base.place)")
            }
            let end = module.path.split(separator: ".").suffix(4).joined(separator: ".")
            let kin = modules.keys.filter { $0.hasSuffix("." + end) }.min(by: ModuleOrder.precedes)
            throw refuse(
                item, "no such module in the base \(base.place)", "a linear layer or an embedding of the base",
                advice: kin.map { "The base has '\($0)': it may be the same model under other names. " + advice })
        }
        let needed = module.weightShape
        guard weight.shape != needed else { return }
        let other = Shape(needed.dims.reversed())
        throw refuse(
            item, "a pair for a weight of \(needed)", "\(weight.shape), as the base \(base.place) has it",
            advice: weight.shape == other && module.kind == .linear
                ? "The base's weight lies the other way round: check 'fan_in_fan_out' in adapter_config.json." : nil)
    }

    func check(_ replacement: AdapterReplacement) throws(CrayonError) {
        let item = "tensor '\(replacement.tensor.name)'"
        guard let weight = weights[replacement.name] else {
            throw refuse(item, "nothing named '\(replacement.name)' in the base \(base.place)", "a tensor of the base")
        }
        guard weight.shape != replacement.tensor.shape else { return }
        throw refuse(
            item, "shape \(replacement.tensor.shape)", "\(weight.shape), as the base \(base.place) has it",
            advice: adapter.baseName.map { "The base was resized or is another: the adapter says '\($0)'." })
    }

    /// A base with more layers than the adapter has pairs for.
    func checkLayers() throws(CrayonError) {
        guard let promises = adapter.promises else { return }
        let paths = Set(adapter.modules.map(\.path))
        let covered = Set(paths.compactMap { modules[$0]?.name })
        let templates = Set(paths.map { ModuleOrder.template($0).template })
        let bare = modules.filter { path, weight in
            !covered.contains(weight.name) && templates.contains(ModuleOrder.template(path).template) && promises(path)
        }.map(\.key).sorted(by: ModuleOrder.precedes)
        guard let first = bare.first else { return }
        throw refuse(
            "module '\(first)'", "no pair for it" + (bare.count > 1 ? " and \(bare.count - 1) more" : ""),
            "a pair for every module of the base \(base.place) that the adapter targets")
    }
}

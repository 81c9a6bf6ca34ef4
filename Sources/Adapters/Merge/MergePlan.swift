import Bytes
import Tensors

/// What a merge does to which weight of the base, in the base's order.
struct MergePlan {
    struct Work: Sendable {
        let weight: BaseWeight
        let kind: Kind
    }

    enum Kind: Sendable {
        /// With the whole weight that the adapter brings for the module, if it does (an embedding that was resized, say).
        case pair(AdapterModule, over: Tensor?)
        /// The bias of a pair is added to the module's.
        case bias(AdapterModule, over: Tensor?)
        case replacement(Tensor)

        /// The weight that the adapter brings whole.
        var whole: Tensor? {
            switch self {
            case .pair(_, let whole), .bias(_, let whole): whole
            case .replacement(let tensor): tensor
            }
        }
    }

    let works: [Work]

    /// - Precondition: the adapter was checked against the base.
    /// - Throws: `CrayonError` for a pair's bias at a module that has none, and a whole weight for a quantized one.
    init(_ adapter: Adapter, base: any BaseModel) throws(CrayonError) {
        var kinds: [String: Kind] = [:]
        let names = Set(base.weights.map(\.name))
        let modules = base.modules
        var whole: [String: Tensor] = [:]
        let storages = Dictionary(base.weights.map { ($0.name, $0.storage) }, uniquingKeysWith: { first, _ in first })
        for replacement in adapter.replacements {
            guard storages[replacement.name] == .dense else {
                throw CrayonError(
                    .unsupported, in: adapter.place, item: "tensor '\(replacement.tensor.name)'",
                    found: "a whole weight in the place of one that is quantized in \(base.place)",
                    expected: "a weight that the base has in 16 or 32 bits",
                    advice: "Merge into the 16-bit checkpoint that the base was made from, and quantize that.")
            }
            whole[replacement.name] = replacement.tensor
            kinds[replacement.name] = .replacement(replacement.tensor)
        }
        for module in adapter.modules {
            guard let name = modules[module.path]?.name else { preconditionFailure("'\(module.path)' was checked") }
            kinds[name] = .pair(module, over: whole[name])
            guard module.bias != nil else { continue }
            let bias = String(name.dropLast("weight".count)) + "bias"
            guard names.contains(bias) else {
                throw CrayonError(
                    .mismatch, in: adapter.place, item: "module '\(module.path)'",
                    found: "a bias of the pair (lora_bias)",
                    expected: "'\(bias)' in the base \(base.place), which it could be added to",
                    advice: "Keep the adapter apart, or extract one without biases.")
            }
            kinds[bias] = .bias(module, over: whole[bias])
        }
        works = base.weights.compactMap { weight in kinds[weight.name].map { Work(weight: weight, kind: $0) } }
    }
}

import Bytes
import Tensors

/// What a merge does to which weight of the base, in the base's order.
struct MergePlan {
    struct Work: Sendable {
        let weight: BaseWeight
        let kind: Kind
    }

    enum Kind: Sendable {
        case pair(AdapterModule)
        /// The bias of a pair is added to the module's.
        case bias(AdapterModule)
        case replacement(Tensor)
    }

    let works: [Work]

    /// - Precondition: the adapter was checked against the base.
    /// - Throws: `CrayonError` for a pair's bias at a module that has none, and for two things to be done to one weight.
    init(_ adapter: Adapter, base: any BaseModel) throws(CrayonError) {
        var kinds: [String: Kind] = [:]
        let names = Set(base.weights.map(\.name))
        var weightOfModule: [String: String] = [:]
        for weight in base.weights where weight.shape.rank == 2 {
            if let module = weight.module { weightOfModule[module] = weight.name }
        }
        func set(_ name: String, _ kind: Kind) throws(CrayonError) {
            guard kinds.updateValue(kind, forKey: name) == nil else {
                throw CrayonError(
                    .unsupported, in: adapter.place, item: "tensor '\(name)'",
                    found: "both a pair and a whole weight for it", expected: "one of the two")
            }
        }
        for module in adapter.modules {
            guard let name = weightOfModule[module.path] else { preconditionFailure("'\(module.path)' was checked") }
            try set(name, .pair(module))
            guard module.bias != nil else { continue }
            let bias = "\(module.path).bias"
            guard names.contains(bias) else {
                throw CrayonError(
                    .mismatch, in: adapter.place, item: "module '\(module.path)'",
                    found: "a bias of the pair (lora_bias)",
                    expected: "'\(bias)' in the base \(base.place), which it could be added to",
                    advice: "Keep the adapter apart, or extract one without biases.")
            }
            try set(bias, .bias(module))
        }
        for replacement in adapter.replacements { try set(replacement.name, .replacement(replacement.tensor)) }
        works = base.weights.compactMap { weight in kinds[weight.name].map { Work(weight: weight, kind: $0) } }
    }
}

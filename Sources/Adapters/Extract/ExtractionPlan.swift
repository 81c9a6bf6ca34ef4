import Bytes
import Checkpoints
import Tensors

/// Which weights of two models are compared, and what each may become.
struct ExtractionPlan {
    struct Module {
        let path: String
        let kind: AdapterModule.Kind
        let weight: BaseWeight
        /// The module's bias, where biases are asked for.
        let bias: String?
    }

    private(set) var modules: [Module] = []
    /// Tensors of modules that go into the adapter whole where one of them differs.
    private(set) var wholes: [[BaseWeight]] = []
    /// Weights that are only looked at.
    private(set) var others: [BaseWeight] = []
    private(set) var onlyInBase: [String] = []
    private(set) var onlyInTuned: [String] = []

    /// - Throws: `CrayonError` naming a weight of another shape, a matrix without a counterpart, or an expression that is none.
    init(base: any BaseModel, tuned: any BaseModel, options: ExtractionOptions) throws(CrayonError) {
        let selection = try Selection(options.modules)
        let tunedWeights = Dictionary(tuned.weights.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        let baseWeights = Dictionary(base.weights.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        onlyInBase = base.weights.map(\.name).filter { tunedWeights[$0] == nil }
        onlyInTuned = tuned.weights.map(\.name).filter { baseWeights[$0] == nil }
        for (names, present, absent, weights) in [
            (onlyInBase, base, tuned, baseWeights), (onlyInTuned, tuned, base, tunedWeights),
        ] {
            // A head of its own may be the embeddings, tied: it is named in the report.
            for case let weight? in names.map({ weights[$0] })
            where weight.isLinear && selection.holds(weight.owner) && weight.owner != "lm_head" {
                throw CrayonError(
                    .mismatch, in: absent.place, item: "tensor '\(weight.name)'", found: "nothing",
                    expected: "\(weight.shape), as \(present.place) has it",
                    advice: "The two are not the same model. Name the modules that they share with --modules.")
            }
        }
        var norms: [String: [BaseWeight]] = [:]
        for weight in base.weights {
            guard let other = tunedWeights[weight.name], selection.holds(weight.owner) else { continue }
            guard weight.shape == other.shape else {
                throw CrayonError(
                    .mismatch, in: tuned.place, item: "tensor '\(weight.name)'", found: "\(other.shape)",
                    expected: "\(weight.shape), as \(base.place) has it",
                    advice: weight.isEmbedding || weight.owner == "lm_head"
                        ? "The vocabulary was resized. Leave it out with --modules."
                        : "The two are not the same model. Name the modules that they share with --modules.")
            }
            guard weight.type.isFloat, other.type.isFloat, weight.shape.count > 0 else {
                others.append(weight)
                continue
            }
            if weight.isLinear || weight.isEmbedding && options.embeddings == .pairs {
                let bias = baseWeights[String(weight.name.dropLast("weight".count)) + "bias"]
                modules.append(
                    Module(
                        path: weight.owner, kind: weight.isEmbedding ? .embedding : .linear, weight: weight,
                        bias: options.biases && tunedWeights[bias?.name ?? ""] != nil ? bias?.name : nil))
            } else if weight.isEmbedding, options.embeddings == .whole {
                wholes.append([weight])
            } else {
                norms[weight.owner, default: []].append(weight)
            }
        }
        let paired = Set(modules.compactMap(\.bias))
        for owner in norms.keys.sorted(by: ModuleOrder.precedes) {
            let weights = (norms[owner] ?? []).filter { !paired.contains($0.name) }
            let isNorm = weights.contains { $0.name.hasSuffix(".weight") && $0.shape.rank == 1 }
            if isNorm, options.norms { wholes.append(weights) } else { others += weights }
        }
        modules.sort { ModuleOrder.precedes($0.path, $1.path) }
        guard !modules.isEmpty || !wholes.isEmpty || !others.isEmpty else {
            throw CrayonError(
                .mismatch, in: tuned.place, found: "no weight of \(base.place)",
                expected: "a model with the same tensors" + (options.modules.map { " that match '\($0)'" } ?? ""))
        }
    }

    /// Paths that contain what the expression matches.
    private struct Selection {
        private let expression: Regex<AnyRegexOutput>?

        init(_ text: String?) throws(CrayonError) {
            guard let text else {
                expression = nil
                return
            }
            guard let expression = try? Regex(text) else {
                throw CrayonError(.usage, in: "--modules", found: "'\(text)'", expected: "a regular expression")
            }
            self.expression = expression
        }

        func holds(_ path: String) -> Bool {
            expression.map { (try? $0.firstMatch(in: path)) != nil } ?? true
        }
    }
}

extension BaseWeight {
    /// The path of the module that the tensor belongs to, whichever of its tensors it is.
    fileprivate var owner: String {
        if let module { return module }
        return name.lastIndex(of: ".").map { String(name[..<$0]) } ?? name
    }

    fileprivate var lastWord: Substring { owner.split(separator: ".").last ?? "" }

    fileprivate var isEmbedding: Bool {
        module != nil && shape.rank == 2 && (lastWord.contains("embed") || ["wte", "wpe"].contains(lastWord))
    }

    /// The weight of a linear layer. A pair that a published checkpoint carries has matrices too, but is no layer.
    fileprivate var isLinear: Bool {
        guard let module, shape.rank == 2, !isEmbedding else { return false }
        return Layout.plainModule(module) != nil || !lastWord.hasPrefix("Plora_") && !lastWord.hasPrefix("lora_")
    }
}

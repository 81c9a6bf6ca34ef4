import Architecture
import Bytes
import Checkpoints
import Quantization
import Tensors

/// What a LoRA GGUF consists of: the pairs under llama.cpp's names, and its one alpha.
struct LoRAGGUFPlan {
    struct Pair {
        /// llama.cpp's name of the base's tensor.
        let name: String
        let module: AdapterModule
        /// The rows of B in llama.cpp's order; nil for B as it is.
        let rows: [Int]?
        /// What B is multiplied with, for the scale that alpha over rank does not give.
        let factor: Double

        var isEmbedding: Bool { module.kind == .embedding }
        var shapeOfA: Shape { isEmbedding ? Shape(module.a.shape.dims.reversed()) : module.a.shape }
        var shapeOfB: Shape { Shape([rows?.count ?? module.b.shape[0], module.b.shape[1]]) }
    }

    let architecture: String
    let alpha: Float
    private(set) var pairs: [Pair] = []

    private let adapter: Adapter

    init(_ adapter: Adapter, over model: any ModelSource) throws(CrayonError) {
        self.adapter = adapter
        let backbone = model.configuration.backbone
        guard let family = GGUFArchitecture(layout: model.configuration.layout) else {
            throw CrayonError(
                .unsupported, in: model.place, found: "a base of the layout '\(model.configuration.layout)'",
                expected: "one that llama.cpp knows: Llama, Mistral, Qwen2 or InternLM2")
        }
        architecture = family.name
        var counts: [Double: Int] = [:]
        for module in adapter.modules { counts[module.scale * Double(module.rank), default: 0] += 1 }
        let commonest = counts.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key ?? 1
        alpha = Float(commonest)
        let tensors = ModelTensors(model)
        try checkPairs()
        try checkWholeWeights(model, tensors)

        var targets: [String: (layer: Int?, module: BackboneModule?)] = [:]
        if let path = tensors.path(of: .tokenEmbeddings) { targets[path] = (nil, nil) }
        let headPath = tensors.path(of: .head)
        for layer in 0..<backbone.layerCount {
            for module in backbone.modules {
                if let path = tensors.path(of: .backbone(layer, module)) { targets[path] = (layer, module) }
            }
        }
        for module in adapter.modules {
            let names: [(name: String, rows: [Int]?)]
            if module.path == headPath {
                names = [("output.weight", nil)]
            } else if let target = targets[module.path] {
                names = Self.names(target.layer, target.module, backbone, turns: family.turnsRows)
            } else {
                throw refuse(
                    "module '\(module.path)'", "no such module in the base \(model.place)",
                    "a linear layer of a block, the embeddings or a head of its own")
            }
            let isTable = names[0].name == "token_embd.weight"
            guard isTable == (module.kind == .embedding) else {
                throw refuse("module '\(module.path)'", "a pair of kind \(module.kind.rawValue)", "the other kind")
            }
            let factor = module.scale * Double(module.rank) / Double(alpha)
            pairs += names.map { Pair(name: $0.name, module: module, rows: $0.rows, factor: factor) }
        }
    }

    private func refuse(_ item: String?, _ found: String, _ expected: String, advice: String? = nil) -> CrayonError {
        CrayonError(.unsupported, in: adapter.place, item: item, found: found, expected: expected, advice: advice)
    }

    private var merge: String { "Merge it into the base and convert that: 'crayon adapter merge'." }

    /// What llama.cpp would leave out without a word.
    private func checkPairs() throws(CrayonError) {
        if let reason = adapter.reasonAgainstMerging {
            throw refuse("set '\(adapter.name)'", reason, "pairs that act everywhere: llama.cpp knows no others")
        }
        for module in adapter.modules {
            let item = "module '\(module.path)'"
            if module.magnitude != nil {
                throw refuse(item, "DoRA", "plain pairs, as llama.cpp has them", advice: merge)
            }
            if module.bias != nil {
                throw refuse(item, "a bias of a pair", "plain pairs, as llama.cpp has them", advice: merge)
            }
            if module.isTransposed {
                throw refuse(item, "a layer that lies as [in, out]", "a base of Llama's kin", advice: merge)
            }
        }
        guard !adapter.modules.isEmpty, alpha != 0, alpha.isFinite else {
            throw refuse(nil, "no pairs with a scale", "at least one")
        }
    }

    /// PEFT keeps the base's own embeddings and head beside their pairs. Those may go; a trained or resized one may not.
    private func checkWholeWeights(_ model: any ModelSource, _ tensors: ModelTensors) throws(CrayonError) {
        for replacement in adapter.replacements {
            let role = [Role.tokenEmbeddings, .head].first { role in
                tensors.path(of: role).map { $0 + ".weight" } == replacement.name
            }
            if let role, let own = try model.weight(role)?.tensor(named: replacement.name),
                own.shape == replacement.tensor.shape,
                FactorNumbers(own).values == FactorNumbers(replacement.tensor).values
            {
                continue
            }
            throw refuse(
                "tensor '\(replacement.name)'", "a whole weight that is not the base's own",
                "pairs alone: llama.cpp leaves others out", advice: merge)
        }
    }

    /// llama.cpp's tensors of a module, each with the rows of B that it has.
    private static func names(
        _ layer: Int?, _ module: BackboneModule?, _ backbone: BackboneConfiguration, turns: Bool
    ) -> [(name: String, rows: [Int]?)] {
        guard let layer, let module else { return [("token_embd.weight", nil)] }
        return GGUFRows.of(module, in: backbone, turns: turns).map { ("blk.\(layer).\($0.module).weight", $0.rows) }
    }
}

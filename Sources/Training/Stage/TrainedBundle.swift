public import Adapters
import Architecture
public import BundleFormat
public import Bytes
import Checkpoints
public import Models
import Quantization
import Tensors

/// What a stage of training leaves: a bundle with the learned parts in their places, and its sets as PEFT folders.
public enum TrainedBundle {
    /// Writes the bundle; nothing stands under `output` before it is whole.
    ///
    /// Learned weights are stored as float32, packed without loss where that pays: what training ended with is what runs. The
    /// recorded answers of the base go: this is another model.
    /// - Parameters:
    ///   - model: what was trained.
    ///   - step: what was done, for the history.
    /// - Throws: `CrayonError` when the file cannot be written.
    public static func write(
        _ model: StageModel, learned: LearnedTensors, to output: String, step: BundleStep,
        progress: (String, Int, Int) -> Void = { _, _, _ in }
    ) throws(CrayonError) {
        var rewrite = BundleRewrite(model.base)
        rewrite.keepsProbes = false
        for tensor in learned.tensors {
            guard var weight = model.base.entry(tensor.role) else { continue }
            let made = StoredWeight.dense(tensor.value.tensor(named: weight.sourceName, shape: tensor.shape))
            weight.coding = BundleCoding(storing: made)
            rewrite.set(weight) { () throws(CrayonError) in (made, [:]) }
        }
        for set in model.freshSets {
            try rewrite.add(try adapter(set, of: model, learned: learned), as: set)
        }
        for (index, set) in rewrite.model.lowRankSets.enumerated() {
            let trained = model.configuration.lowRankSets.first { $0.name == set.name }
            rewrite.model.lowRankSets[index].isActive = trained?.isActive ?? set.isActive
        }
        try rewrite.write(to: output, step: step, progress: progress)
    }

    /// A set with what it has learned, as an adapter.
    ///
    /// - Throws: `CrayonError` for a set that the model does not have.
    public static func adapter(
        _ name: String, of model: StageModel, learned: LearnedTensors
    ) throws(CrayonError) -> Adapter {
        guard let set = model.configuration.lowRankSets.first(where: { $0.name == name }) else {
            throw CrayonError(.missing, in: model.place, item: "set '\(name)'", found: "nothing of that name")
        }
        func factor(_ role: Role) throws(CrayonError) -> AdapterFactor {
            if let own = learned[role] {
                return AdapterFactor(own.value.tensor(named: role.rawValue, shape: own.shape))
            }
            guard let weight = try model.weight(role) else {
                throw CrayonError(.missing, in: model.place, item: role.rawValue, found: "no such weight")
            }
            let matrix = Matrix(rows: weight.rows, columns: weight.columns)
            weight.dequantizeRows(0..<weight.rows, into: matrix.pointer)
            return AdapterFactor(matrix.tensor(named: role.rawValue, shape: weight.shape))
        }
        var modules: [AdapterModule] = []
        for layer in 0..<model.configuration.backbone.layerCount {
            for module in model.configuration.backbone.modules where set.modules.contains(module) {
                guard let entry = model.base.entry(.backbone(layer, module)) else { continue }
                let weight = BaseWeight(
                    name: entry.sourceName, shape: Shape(entry.coding.shape), type: entry.coding.type, storage: .dense)
                guard let path = weight.module else { continue }
                modules.append(
                    AdapterModule(
                        path: path, rank: set.rank(layer: layer, module: module),
                        alpha: set.exceptions["layers.\(layer).\(module.rawValue)"]?.alpha ?? set.alpha,
                        isRankStabilized: set.isRankStabilized, a: try factor(.adapter(name, layer, module, .a)),
                        b: try factor(.adapter(name, layer, module, .b))))
            }
        }
        return Adapter(name: name, place: model.place, scope: set.scope, input: set.input, modules: modules)
    }
}

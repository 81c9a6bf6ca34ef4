import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Kernels
import Quantization
import Tensors

extension Adapter {
    /// The low-rank sets of a bundle, or those in a published checkpoint.
    ///
    /// Modules have the names of the base's files. Pairs that a file carries but that do not act (the published crayon pair of
    /// `w2`) are left out.
    /// - Throws: `CrayonError` for what cannot be opened.
    static func sets(ofModel path: String) throws(CrayonError) -> [Adapter] {
        let model = try openModel(path: path)
        let tensors = ModelTensors(model)
        var adapters: [Adapter] = []
        for set in model.configuration.lowRankSets { adapters.append(try Adapter(set, of: model, tensors)) }
        return adapters
    }

    private init(_ set: LowRankSet, of model: any ModelSource, _ tensors: ModelTensors) throws(CrayonError) {
        func factor(_ role: Role) throws(CrayonError) -> AdapterFactor {
            guard let entry = tensors[role] else {
                throw CrayonError(.missing, in: model.place, item: "tensor of '\(role)'", found: "nothing")
            }
            return AdapterFactor(name: entry.name, type: entry.type, shape: entry.shape) { () throws(CrayonError) in
                guard let weight = try model.weight(role) else {
                    throw CrayonError(.missing, in: model.place, item: "tensor '\(entry.name)'", found: "nothing")
                }
                return weight.tensor(named: entry.name)
            }
        }
        var modules: [AdapterModule] = []
        for layer in 0..<model.configuration.backbone.layerCount {
            for module in model.configuration.backbone.modules where set.modules.contains(module) {
                guard let path = tensors.path(of: .backbone(layer, module)) else { continue }
                modules.append(
                    AdapterModule(
                        path: path, rank: set.rank(layer: layer, module: module),
                        alpha: set.exceptions["layers.\(layer).\(module.rawValue)"]?.alpha ?? set.alpha,
                        isRankStabilized: set.isRankStabilized, a: try factor(.adapter(set.name, layer, module, .a)),
                        b: try factor(.adapter(set.name, layer, module, .b))))
            }
        }
        modules.sort { ModuleOrder.precedes($0.path, $1.path) }
        let prefix = "adapters/\(set.name)/"
        let files = model.files.filter { $0.name.hasPrefix(prefix) }.map {
            AuxiliaryFile(name: String($0.name.dropFirst(prefix.count)), region: $0.region)
        }
        self.init(
            name: set.name, place: model.place, scope: set.scope, input: set.input, modules: modules, files: files,
            checkUnchanged: { () throws(CrayonError) in try model.checkUnchanged() })
    }
}

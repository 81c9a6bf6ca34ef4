import BundleFormat
import Bytes
import Checkpoints
import Kernels
import Quantization
import Tensors

/// The weights of a bundle's main source under the names that they had, as a checkpoint: unpacked and dequantized when asked for.
struct BundleTensors: Checkpoint {
    let bundle: BundleReader
    let names: [String]
    /// Weights of parts that came from places of their own: their names may be the same.
    let leftOut: [String]
    private let weights: [String: BundleWeight]

    init(_ bundle: BundleReader) {
        self.bundle = bundle
        let own = bundle.manifest.weights.filter { $0.origin.isEmpty }
        names = own.map(\.sourceName)
        weights = Dictionary(own.map { ($0.sourceName, $0) }, uniquingKeysWith: { first, _ in first })
        leftOut = Set(bundle.manifest.weights.map(\.origin).filter { !$0.isEmpty }).sorted()
    }

    var place: String { bundle.place }
    var format: String { "bundle" }
    var sourceFiles: [SourceFile] { bundle.safetensors.sourceFiles }
    func file(of name: String) -> String { place }
    func willNeed(_ name: String) { if let weight = weights[name] { bundle.willNeed(weight.role) } }
    func checkUnchanged() throws(CrayonError) { try bundle.safetensors.checkUnchanged() }

    func dontNeed(_ name: String) {
        guard let weight = weights[name] else { return }
        for component in weight.coding.components { bundle.safetensors.dontNeed(weight.name + component.suffix) }
    }

    func entry(_ name: String) -> TensorEntry? {
        guard let weight = weights[name] else { return nil }
        let parts = weight.coding.components.compactMap { bundle.safetensors.entry(weight.name + $0.suffix) }
        return TensorEntry(
            name: name, type: weight.coding.type, shape: Shape(weight.coding.shape),
            encoding: weight.coding.isQuantized ? weight.coding.label : weight.coding.type.rawValue,
            byteCount: parts.reduce(0) { $0 + $1.byteCount }, offset: parts.first?.offset ?? 0)
    }

    func tensor(_ name: String) throws(CrayonError) -> Tensor? {
        guard let weight = weights[name], let stored = try bundle.weight(weight.role) else { return nil }
        return stored.tensor(named: name, as: weight.coding.type)
    }
}

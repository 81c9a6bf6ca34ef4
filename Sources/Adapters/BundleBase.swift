import Architecture
public import BundleFormat
public import Bytes
public import Quantization
import Tensors

/// A bundle as a base: every weight but the low-rank sets, under its source's name.
public struct BundleBase: BaseModel {
    public let bundle: BundleReader
    public let weights: [BaseWeight]
    private let roles: [String: Role]

    public init(_ bundle: BundleReader) {
        self.bundle = bundle
        var weights: [BaseWeight] = []
        var roles: [String: Role] = [:]
        for entry in bundle.manifest.weights where entry.part != .adapters && roles[entry.sourceName] == nil {
            let storage: BaseWeight.Storage =
                switch entry.coding.kind {
                case .plain, .packed: .dense
                case .nf4, .fp4: .nf4
                case .int8: .int8
                }
            weights.append(
                BaseWeight(
                    name: entry.sourceName, shape: Shape(entry.coding.shape), type: entry.coding.type, storage: storage)
            )
            roles[entry.sourceName] = entry.role
        }
        self.weights = weights
        self.roles = roles
    }

    public var place: String { bundle.place }
    public var sourcePaths: [String] { [bundle.place] }
    public func checkUnchanged() throws(CrayonError) { try bundle.checkUnchanged() }

    public func stored(_ name: String) throws(CrayonError) -> StoredWeight {
        guard let role = roles[name], let weight = try bundle.weight(role) else {
            throw CrayonError(.missing, in: place, item: "tensor '\(name)'", found: "nothing")
        }
        return weight
    }
}

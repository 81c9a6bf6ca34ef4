public import Bytes
import Checkpoints
public import Quantization
public import Tensors

/// What adapters are merged into, extracted from and compared with: named weights, whatever holds them.
///
/// No layout is asked for: an adapter names modules, and a module's weight has its name. So every checkpoint that can be
/// read as safetensors serves, whether Crayon knows the model or not.
public protocol BaseModel: Sendable {
    /// As the user named it.
    var place: String { get }
    /// The files that its weights lie in.
    var sourcePaths: [String] { get }
    /// Weights in the order of their files; the components of a 4-bit weight are one.
    var weights: [BaseWeight] { get }
    /// A weight by its name.
    /// - Throws: `CrayonError` for a name that is not there, a damaged one, or components that do not fit each other.
    func stored(_ name: String) throws(CrayonError) -> StoredWeight
    /// - Throws: `CrayonError` naming a file that has changed since it was opened.
    func checkUnchanged() throws(CrayonError)
}

/// A weight of a base, without its bytes.
public struct BaseWeight: Sendable, Hashable {
    /// As its source had it: `model.layers.0.self_attn.q_proj.weight`.
    public let name: String
    public let shape: Shape
    /// The type that it has, or had before it was quantized.
    public let type: ElementType
    public let storage: Storage

    public enum Storage: String, Sendable {
        case dense
        case nf4
        case int8
    }

    public init(name: String, shape: Shape, type: ElementType, storage: Storage) {
        self.name = name
        self.shape = shape
        self.type = type
        self.storage = storage
    }

    /// The module's path as adapters name it; nil for what is no module's weight.
    public var module: String? {
        name.hasSuffix(".weight") ? String(name.dropLast(".weight".count)) : nil
    }
}

extension BaseModel {
    /// For a base in memory, which nobody else can change.
    public func checkUnchanged() throws(CrayonError) {}

    /// Matrices by the paths of their modules, with the names that an adapter for the backbone alone has for them
    /// (`Layout.plainModule`).
    var modules: [String: BaseWeight] {
        var modules: [String: BaseWeight] = [:]
        for weight in weights where weight.shape.rank == 2 {
            guard let module = weight.module else { continue }
            modules[module] = weight
            if let plain = Layout.plainModule(module) { modules[plain] = weight }
        }
        return modules
    }
}

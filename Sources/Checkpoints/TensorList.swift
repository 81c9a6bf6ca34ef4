public import Bytes
public import Tensors

/// Tensors at hand under names, as a checkpoint: what was computed, or a slice of another file.
public struct TensorList: Checkpoint {
    public let place: String
    public let names: [String]
    private let tensors: [String: Tensor]

    /// - Precondition: no two tensors have the same name.
    public init(place: String, tensors: [Tensor]) {
        self.place = place
        names = tensors.map(\.name)
        self.tensors = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0) })
    }

    public func entry(_ name: String) -> TensorEntry? { tensors[name].map { TensorEntry($0) } }
    public func tensor(_ name: String) -> Tensor? { tensors[name] }
    public func file(of name: String) -> String { place }
    public var sourceFiles: [SourceFile] { [] }
    public func willNeed(_ name: String) {}
    public func dontNeed(_ name: String) {}
    public func checkUnchanged() throws(CrayonError) {}
}

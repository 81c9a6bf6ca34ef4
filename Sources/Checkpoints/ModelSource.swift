public import Architecture
public import Bytes
public import Quantization

/// A model whose weights can be asked for by role: an opened checkpoint, or a bundle.
public protocol ModelSource: Sendable {
    /// The path as the user named it.
    var place: String { get }
    var configuration: ModelConfiguration { get }
    /// The weight that plays a role; nil when the model has none. Borrowed: mapped bytes are not copied.
    func weight(_ role: Role) throws(CrayonError) -> StoredWeight?
    /// A weight that takes work to bring into memory, as one whose elements come later; nil for a weight that does not, which
    /// `weight` gives at once.
    func deferredWeight(_ role: Role) throws(CrayonError) -> DeferredTensor?
    /// The small files that belong to a model: tokenizer, configuration files of the source.
    var files: [AuxiliaryFile] { get }
    /// - Throws: `CrayonError` naming a file that has changed since it was opened.
    func checkUnchanged() throws(CrayonError)
}

extension ModelSource {
    public func deferredWeight(_ role: Role) throws(CrayonError) -> DeferredTensor? { nil }

    /// For a model in memory, which nobody else can change.
    public func checkUnchanged() throws(CrayonError) {}

    /// - Returns: the file of that name; nil when the model carries none.
    public func file(_ name: String) -> AuxiliaryFile? { files.first { $0.name == name } }
}

/// A small file carried with a model, as its bytes.
public struct AuxiliaryFile: Sendable {
    /// The name without a folder for the backbone's own files; those of other parts come under `vision/`
    /// and `adapters/NAME/`.
    public let name: String
    public let region: ByteRegion

    public init(name: String, region: ByteRegion) {
        self.name = name
        self.region = region
    }
}

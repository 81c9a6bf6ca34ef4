public import Bytes
public import Quantization
public import Tensors

/// Named tensors in one or more files, opened and validated: everything that files say of names, types, shapes and
/// places has been checked. What is stored dense is borrowed from the mapped file; what is compressed, strided or quantized is made
/// when it is asked for, and may turn out damaged only then.
public protocol Checkpoint: Sendable {
    /// The path as the user named it.
    var place: String { get }
    /// What kind of file it is, for people: `safetensors`, `PyTorch`.
    var format: String { get }
    /// The tensors' names in the order of their files.
    var names: [String] { get }
    /// What is known of a tensor without reading it; nil for a name that is not there.
    func entry(_ name: String) -> TensorEntry?
    /// The tensor, over mapped bytes where it is stored dense; nil for a name that is not there.
    /// - Throws: `CrayonError` naming file and tensor when its bytes cannot be made out.
    func tensor(_ name: String) throws(CrayonError) -> Tensor?
    /// The same, quantized where it is stored in a format that the kernels know.
    func weight(_ name: String) throws(CrayonError) -> StoredWeight?
    /// The file that holds the tensor, for messages; `place` for a name that is not there.
    func file(of name: String) -> String
    /// Every file that tensors come from, in a fixed order.
    var sourceFiles: [SourceFile] { get }
    /// Asks the kernel to read the tensor ahead of use.
    func willNeed(_ name: String)
    /// Tells the kernel that the tensor has been used, so that streaming does not fill the page cache.
    func dontNeed(_ name: String)
    /// - Throws: `CrayonError` naming the file when one of them has changed since it was opened.
    func checkUnchanged() throws(CrayonError)
}

extension Checkpoint {
    public var format: String { "tensors" }

    public func weight(_ name: String) throws(CrayonError) -> StoredWeight? {
        try tensor(name).map(StoredWeight.dense)
    }
}

/// A file that a model was read from, for provenance.
public struct SourceFile: Hashable, Sendable {
    /// As it was opened.
    public let path: String
    public let byteCount: Int

    public init(path: String, byteCount: Int) {
        self.path = path
        self.byteCount = byteCount
    }
}

public import Bytes
public import Tensors

/// Named tensors in one or more files, opened and validated: after that no access can fail.
public protocol Checkpoint: Sendable {
    /// The path as the user named it.
    var place: String { get }
    /// The tensors' names in the order of their files.
    var names: [String] { get }
    /// The tensor over mapped bytes; nil for a name that is not there.
    func tensor(_ name: String) -> Tensor?
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

public import Bytes

/// A checkpoint that is one mapped file: where each tensor's bytes lie says everything but how to read them.
public protocol SingleFileCheckpoint: Checkpoint {
    var mapping: MappedFile { get }
    /// The bytes of the file that a tensor is made from; nil for a name that is not there.
    func range(of name: String) -> Range<Int>?
}

extension SingleFileCheckpoint {
    public func file(of name: String) -> String { place }
    public var sourceFiles: [SourceFile] { [SourceFile(path: place, byteCount: mapping.count)] }

    public func willNeed(_ name: String) {
        if let range = range(of: name) { mapping.willNeed(offset: range.lowerBound, count: range.count) }
    }

    public func dontNeed(_ name: String) {
        if let range = range(of: name) { mapping.dontNeed(offset: range.lowerBound, count: range.count) }
    }

    public func checkUnchanged() throws(CrayonError) { try mapping.checkUnchanged() }
}

public import Bytes
import Tensors

/// Writes a state_dict as `torch.save` does since PyTorch 1.6: a zip archive with `data.pkl` and a stored entry for each tensor.
///
/// The file appears under its name at `commit`.
public final class PyTorchWriter {
    private let archive: StoredZipWriter
    private let positions: [String: Int]

    /// - Parameter declarations: the tensors in their order.
    /// - Throws: `CrayonError` when a name is given twice, or the file cannot be created.
    public init(path: String, declarations: [SafetensorsWriter.Declaration]) throws(CrayonError) {
        var positions: [String: Int] = [:]
        for (index, declaration) in declarations.enumerated() {
            guard positions.updateValue(index, forKey: declaration.name) == nil else {
                throw CrayonError(
                    .usage, in: path, item: "tensor '\(declaration.name)'", found: "a name that is already taken",
                    expected: "names that are unique")
            }
        }
        self.positions = positions
        let pickle = StateDictPickle(declarations).bytes
        let order = Array("little".utf8)
        let version = Array("3\n".utf8)
        // The name before the slash is the file's own in PyTorch; any will do, and one that does not change keeps the bytes the same.
        let folder = "archive"
        let storages = declarations.enumerated().map {
            StoredZipWriter.Entry(name: "\(folder)/data/\($0)", count: $1.byteCount)
        }
        archive = try StoredZipWriter(
            path: path,
            entries: [
                .init(name: "\(folder)/data.pkl", count: pickle.count),
                .init(name: "\(folder)/byteorder", count: order.count),
            ] + storages + [.init(name: "\(folder)/version", count: version.count)])
        try archive.append(pickle, to: 0)
        try archive.append(order, to: 1)
        try archive.append(version, to: 2 + declarations.count)
    }

    /// Appends to a tensor.
    /// - Precondition: the tensor is declared and has room for the bytes.
    public func append(_ bytes: UnsafeRawBufferPointer, to name: String) throws(CrayonError) {
        guard let position = positions[name] else { preconditionFailure("tensor '\(name)' is not declared") }
        try archive.append(bytes, to: 2 + position)
    }

    /// - Precondition: every tensor has all of its bytes.
    public func commit() throws(CrayonError) { try archive.commit() }
}

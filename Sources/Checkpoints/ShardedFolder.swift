public import Bytes
import JSON
public import Tensors

/// A folder of shards, safetensors, PyTorch's or NumPy's, with the index that says which tensor lies in which.
public struct ShardedFolder: Checkpoint {
    public let place: String
    /// In the order of their names.
    public let shards: [any Checkpoint]
    /// Tensors that lie in a shard but not in the index. `tensor` does not give them out.
    public let unindexed: [(name: String, file: String)]
    public let names: [String]
    private let shardOf: [String: Int]

    static let safetensorsIndex = "model.safetensors.index.json"
    static let pytorchIndex = "pytorch_model.bin.index.json"
    /// `crayon convert`'s own; NumPy has no shards.
    static let numpyIndex = "model.npz.index.json"
    private static let listed = 20

    /// - Throws: `CrayonError` when the index or a shard does not follow its format, a shard is missing or
    ///   leaves the folder, or index and shards disagree.
    ///
    /// - Parameters:
    ///   - indexName: the index, a file of the folder.
    ///   - open: opens a shard.
    init(
        folder: FolderFiles, indexName: String, open: (String) throws(CrayonError) -> any Checkpoint
    ) throws(CrayonError) {
        guard let index = try folder.path(of: indexName) else {
            throw CrayonError(.missing, in: folder.path, found: "no \(indexName)", expected: "a folder of shards")
        }
        let map = try JSONReader(file: index).object("weight_map")
        var fileOf: [String: String] = [:]
        for (name, value) in map.object.members {
            guard case .string(let file) = value else {
                throw CrayonError(
                    .malformed, in: index, item: "key 'weight_map.\(name)'", found: value.kind,
                    expected: "the name of a shard")
            }
            fileOf[name] = file
        }
        place = folder.path
        let files = Set(fileOf.values).sorted()
        var paths: [String] = []
        var missing: [String] = []
        for file in files {
            do {
                if let path = try folder.path(of: file) { paths.append(path) } else { missing.append(file) }
            } catch {
                var error = error
                if error.item != nil { error.place = index }
                throw error
            }
        }
        guard missing.isEmpty else {
            throw CrayonError(
                .missing, in: folder.path,
                found: "\(missing.count) of \(files.count) shards missing: \(Self.list(missing))",
                expected: "every shard that \(indexName) names", advice: "Download the missing files.")
        }
        var shards: [any Checkpoint] = []
        for path in paths { shards.append(try open(path)) }

        var shardOf: [String: Int] = [:]
        var names: [String] = []
        var unindexed: [(name: String, file: String)] = []
        for (position, shard) in shards.enumerated() {
            for name in shard.names {
                guard let file = fileOf[name] else {
                    unindexed.append((name, shard.place))
                    continue
                }
                if let other = shardOf[name] {
                    throw CrayonError(
                        .malformed, in: folder.path, item: "tensor '\(name)'",
                        found: "it is in two shards, \(files[other]) and \(files[position])",
                        expected: "one, \(file) by the index")
                }
                guard file == files[position] else {
                    throw CrayonError(
                        .mismatch, in: shard.place, item: "tensor '\(name)'",
                        found: "it lies in \(files[position])", expected: "\(file), as \(indexName) says")
                }
                shardOf[name] = position
                names.append(name)
            }
        }
        let absent = map.object.names.filter { shardOf[$0] == nil }
        guard absent.isEmpty else {
            throw CrayonError(
                .missing, in: folder.path,
                found: "\(absent.count) tensors that the index names are in no shard: \(Self.list(absent))",
                expected: "each in its shard",
                advice: "Index and shards come from different versions; download the folder again.")
        }
        self.shards = shards
        self.shardOf = shardOf
        self.names = names
        self.unindexed = unindexed
    }

    /// A few names in quotes, for a message.
    static func list(_ names: [String]) -> String {
        names.prefix(listed).map { "'\($0)'" }.joined(separator: ", ") + (names.count > listed ? ", …" : "")
    }

    private func shard(of name: String) -> (any Checkpoint)? { shardOf[name].map { shards[$0] } }

    public func entry(_ name: String) -> TensorEntry? { shard(of: name)?.entry(name) }
    public func tensor(_ name: String) throws(CrayonError) -> Tensor? { try shard(of: name)?.tensor(name) }
    public func file(of name: String) -> String { shard(of: name)?.place ?? place }
    public var format: String { shards.first?.format ?? "tensors" }
    public var sourceFiles: [SourceFile] { shards.flatMap(\.sourceFiles) }
    public func willNeed(_ name: String) { shard(of: name)?.willNeed(name) }
    public func dontNeed(_ name: String) { shard(of: name)?.dontNeed(name) }
    public func checkUnchanged() throws(CrayonError) {
        for shard in shards { try shard.checkUnchanged() }
    }
}

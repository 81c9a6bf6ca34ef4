import Bytes
import Checkpoints
import Foundation

/// A folder of PyTorch's files or NumPy's archives: one, or shards of a greatest size with an index.
///
/// `commit` brings the shards into place one by one and the index last, then takes away what is left of a checkpoint that was there.
final class ShardedArchives: TensorSink {
    private let folder: String
    private let plan: ShardPlan
    private let writers: [any TensorSink]
    private let replaced: [String]

    /// - Parameters:
    ///   - limit: most bytes of tensors in one file; nil for one file.
    ///   - replaced: names of files that a new checkpoint takes the place of.
    ///   - open: makes the writer of a file.
    /// - Throws: `CrayonError` for a name that is declared twice, and when a file cannot be made.
    init(
        folder: String, target: TensorConversion.Target, declarations: [SafetensorsWriter.Declaration], limit: Int?,
        replaced: [String],
        open: (String, [SafetensorsWriter.Declaration]) throws(CrayonError) -> any TensorSink
    ) throws(CrayonError) {
        self.folder = folder
        self.replaced = replaced
        plan = try ShardPlan(
            declarations, baseName: target.baseName, ending: target.ending, limit: limit ?? .max, in: folder)
        var writers: [any TensorSink] = []
        for shard in plan.shards { writers.append(try open("\(folder)/\(shard.name)", shard.declarations)) }
        self.writers = writers
    }

    /// The files that `commit` brings into place.
    var names: [String] { plan.shards.map(\.name) + (plan.index == nil ? [] : [plan.indexName]) }

    func append(_ bytes: UnsafeRawBufferPointer, to name: String, at offset: Int) throws(CrayonError) {
        guard let shard = plan.shardOf[name] else { preconditionFailure("tensor '\(name)' is not declared") }
        try writers[shard].append(bytes, to: name, at: offset)
    }

    func commit() throws(CrayonError) {
        for writer in writers { try writer.commit() }
        if let index = plan.index { try AtomicFile.write(Array(index.utf8), to: "\(folder)/\(plan.indexName)") }
        for name in replaced where !names.contains(name) {
            guard unlink("\(folder)/\(name)") == 0 || errno == ENOENT else {
                throw .system(errno, in: "\(folder)/\(name)", while: "taking away the file of an earlier checkpoint")
            }
        }
    }
}

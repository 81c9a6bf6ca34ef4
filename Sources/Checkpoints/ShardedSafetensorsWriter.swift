public import Bytes
public import Tensors

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Writes a checkpoint folder as transformers does: `model.safetensors`, or shards of a greatest size with
/// `model.safetensors.index.json`.
///
/// `ShardPlan` says which tensor goes where. `commit` brings the shards into place one by one and the index last; when it
/// overwrites, it then takes away what is left of the checkpoint that was there.
public final class ShardedSafetensorsWriter: Sendable {
    public let folder: String
    private let writers: [SafetensorsWriter]
    private let shardOf: [String: Int]
    private let index: String?
    private let indexPath: String
    /// Files of an earlier checkpoint.
    private let replaced: [String]
    /// Kept, since its lock goes with it.
    private let owner: OutputFolder

    /// - Parameters:
    ///   - folder: created where it is not there; must not hold a checkpoint already.
    ///   - baseName: what the files' names begin with: `model`, or PEFT's `adapter_model`.
    ///   - shardLimit: most bytes of tensors in one shard.
    ///   - overwrites: a checkpoint that is already in the folder is replaced.
    ///   - kept: the folder that shards lie in before `commit`, to be found again by a run that goes on.
    ///   - owner: what has made and locked the folder, or one around it; nil where nothing has.
    /// - Throws: `CrayonError` when the folder cannot be made, holds a checkpoint, or another run writes into it.
    public init(
        folder: String, baseName: String = "model", declarations: [SafetensorsWriter.Declaration],
        shardLimit: Int = 5_000_000_000, metadata: [(name: String, value: String)] = [("format", "pt")],
        overwrites: Bool = false, keptIn kept: String? = nil, in owner: OutputFolder? = nil
    ) throws(CrayonError) {
        precondition(shardLimit > 0)
        self.owner = if let owner { owner } else { try OutputFolder(folder) }
        replaced = try Self.earlier(in: folder, baseName: baseName, overwrites: overwrites)
        let plan = try ShardPlan(
            declarations, baseName: baseName, ending: ".safetensors", limit: shardLimit, in: folder)
        var writers: [SafetensorsWriter] = []
        for shard in plan.shards {
            writers.append(
                try SafetensorsWriter(
                    path: "\(folder)/\(shard.name)", declarations: shard.declarations, metadata: metadata,
                    keptAt: kept.map { "\($0)/\(shard.name)" }))
        }
        self.folder = folder
        self.writers = writers
        shardOf = plan.shardOf
        indexPath = "\(folder)/\(plan.indexName)"
        index = plan.index
    }

    /// Writes a run of a tensor's bytes. Safe from several threads for disjoint runs.
    /// - Precondition: the tensor is declared and the run lies inside it.
    public func write(_ bytes: UnsafeRawBufferPointer, of name: String, at offset: Int = 0) throws(CrayonError) {
        guard let shard = shardOf[name] else { preconditionFailure("tensor '\(name)' is not declared") }
        try writers[shard].write(bytes, of: name, at: offset)
    }

    /// Writes a whole tensor as it was declared.
    /// - Precondition: the tensor is declared, with this type and shape.
    public func write(_ tensor: Tensor) throws(CrayonError) {
        guard let shard = shardOf[tensor.name] else { preconditionFailure("tensor '\(tensor.name)' is not declared") }
        try writers[shard].write(tensor)
    }

    /// Whether an earlier run's tensor can be there; see `SafetensorsWriter.holds`.
    public func holds(_ name: String) -> Bool {
        guard let shard = shardOf[name] else { preconditionFailure("tensor '\(name)' is not declared") }
        return writers[shard].holds(name)
    }

    /// Takes a tensor for written; see `SafetensorsWriter.skip`.
    public func skip(_ name: String) {
        guard let shard = shardOf[name] else { preconditionFailure("tensor '\(name)' is not declared") }
        writers[shard].skip(name)
    }

    /// Waits until everything written so far is on disk.
    public func flush() throws(CrayonError) {
        for writer in writers { try writer.flush() }
    }

    /// The files that `commit` brings into place.
    public var paths: [String] {
        writers.map(\.path) + (index == nil ? [] : [indexPath])
    }

    /// - Precondition: every byte of every tensor has been written, once.
    public func commit() throws(CrayonError) {
        for writer in writers { try writer.commit() }
        if let index { try AtomicFile.write(Array(index.utf8), to: indexPath) }
        for path in replaced where !paths.contains(path) {
            guard unlink(path) == 0 || errno == ENOENT else {
                throw .system(errno, in: path, while: "taking away the file of an earlier checkpoint")
            }
        }
    }

    /// - Returns: the paths of an earlier checkpoint's files.
    private static func earlier(in folder: String, baseName: String, overwrites: Bool) throws(CrayonError) -> [String] {
        let files = try FolderFiles(path: folder)
        // Shards of two exports in one folder cannot be told apart.
        let present = files.names(endingIn: ".safetensors") + files.names(endingIn: ".safetensors.index.json")
        guard overwrites || present.isEmpty else {
            throw CrayonError(
                .usage, in: folder, found: "a folder that already holds \(ShardedFolder.list(present))",
                expected: "a new or empty folder", advice: "Name another folder, or remove those files.")
        }
        let own = present.filter { ShardPlan.names($0, baseName: baseName, ending: ".safetensors") }
        return own.map { "\(folder)/\($0)" }
    }
}

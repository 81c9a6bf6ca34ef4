import Architecture
public import Bytes
import Checkpoints
import Kernels
import Synchronization
import Tensors

/// A checkpoint in the published CoLLaVO layout with random weights: the real names, shapes, element type and
/// sharding, for measurements that need no download.
///
/// The numbers are Gaussian, so blocks, scales and the exponents of bfloat16 look like those of trained weights;
/// the answers mean nothing. A seed gives the same bytes whatever the number of threads.
public struct SyntheticCheckpoint: Sendable {
    public let shape: Shape
    public let seed: UInt64
    private let declarations: [SafetensorsWriter.Declaration]
    private let roles: [Role]

    /// What is being written, and how far it is.
    public struct Progress: Sendable {
        public let tensor: String
        public let doneBytes: Int
        public let totalBytes: Int
    }

    /// Elements that one task makes: 8 MiB.
    private static let runElements = 1 << 22

    /// - Throws: `CrayonError` for a shape that no model can have.
    public init(shape: Shape = .collavo7B, seed: UInt64 = 0) throws(CrayonError) {
        try shape.check()
        guard let layout = Layout.named(Shape.layoutName) else { preconditionFailure("the layout is built in") }
        self.shape = shape
        self.seed = seed
        let parameters = shape.configuration.parameters
        roles = parameters.map(\.role)
        declarations = parameters.map { parameter in
            guard let name = layout.sourceName(of: parameter.role) else {
                preconditionFailure("the layout has no name for \(parameter.role)")
            }
            return .init(name: name, type: .bf16, shape: parameter.shape)
        }
    }

    /// Bytes of all tensors.
    public var byteCount: Int { declarations.reduce(0) { $0 + $1.byteCount } }
    public var parameterCount: Int { declarations.reduce(0) { $0 + $1.shape.count } }
    public var tensorCount: Int { declarations.count }

    /// Writes shards, index and config.json, on all cores and with a few megabytes of memory for each.
    /// - Parameters:
    ///   - folder: created where it is not there; must not hold a checkpoint already.
    ///   - tokenizer: a SentencePiece model to put beside the weights as tokenizer.model.
    ///   - shardLimit: most bytes of tensors in one shard.
    ///   - progress: called from several threads; it should be quick.
    /// - Throws: `CrayonError` when the folder holds a checkpoint or cannot be written.
    public func write(
        to folder: String, tokenizer: String? = nil, shardLimit: Int = 5_000_000_000,
        progress: (@Sendable (Progress) -> Void)? = nil
    ) throws(CrayonError) {
        let tokenizer = try tokenizer.map { path throws(CrayonError) in try MappedFile(path: path) }
        let writer = try ShardedSafetensorsWriter(folder: folder, declarations: declarations, shardLimit: shardLimit)
        let total = byteCount
        let done = Atomic<Int>(0)
        let runs = self.runs
        try Parallel.forEach(count: runs.count) { (index) throws(CrayonError) in
            let run = runs[index]
            let declaration = declarations[run.tensor]
            let buffer = UnsafeMutablePointer<UInt16>.allocate(capacity: run.elements.count)
            defer { buffer.deallocate() }
            GaussianBFloat16.distribution(of: roles[run.tensor]).fill(
                buffer, elements: run.elements, seed: GaussianBFloat16.seed(seed, name: declaration.name))
            try writer.write(
                UnsafeRawBufferPointer(start: buffer, count: run.elements.count * 2), of: declaration.name,
                at: run.elements.lowerBound * 2)
            let now = done.add(run.elements.count * 2, ordering: .relaxed).newValue
            progress?(Progress(tensor: declaration.name, doneBytes: now, totalBytes: total))
        }
        try AtomicFile.write(Array(shape.configurationText.utf8), to: "\(folder)/config.json")
        if let tokenizer { try AtomicFile.write(tokenizer.whole.array, to: "\(folder)/tokenizer.model") }
        // Last: a folder with weights in it is complete.
        try writer.commit()
    }

    /// The work in pieces that begin at multiples of a generator's chunk.
    private var runs: [(tensor: Int, elements: Range<Int>)] {
        declarations.enumerated().flatMap { tensor, declaration in
            stride(from: 0, to: declaration.shape.count, by: Self.runElements).map {
                (tensor, $0..<min($0 + Self.runElements, declaration.shape.count))
            }
        }
    }
}

import Architecture
import Layers
import Tensors

/// A sequence in progress: its cache, and scratch memory that is kept from step to step.
///
/// Belongs to one sequence and one thread at a time.
public final class DecoderState: @unchecked Sendable {
    // @unchecked: as its cache and workspace, used by one pass at a time.
    let cache: KVCache
    let workspace = Workspace()
    let steps: StepBuffers
    /// Kept where a longer sequence changes what earlier positions have computed.
    var inputs: SequenceInputs?
    /// The rotary base that the cache was filled with, where `inputs` are kept.
    var base = 0.0

    init(_ backbone: BackboneConfiguration, recomputes: Bool, cacheFormat: KVCacheFormat) {
        if recomputes, case .dynamic = backbone.rope.scaling { inputs = SequenceInputs(width: backbone.hiddenSize) }
        cache = KVCache(
            layerCount: backbone.layerCount, groups: backbone.keyValueHeadCount, headSize: backbone.headSize,
            format: cacheFormat)
        steps = StepBuffers(backbone)
    }

    /// Positions seen so far.
    public var count: Int { cache.count }

    /// Makes room ahead for that many positions in all, so that decoding does not have to grow the cache.
    public func reserve(_ positions: Int) { cache.reserve(positions) }

    /// Forgets all but the first `positions`.
    /// - Precondition: no more than `count`.
    public func truncate(to positions: Int) {
        cache.truncate(to: positions)
        inputs?.truncate(to: positions)
    }

    /// Takes over what another sequence of the same model has read of its first `positions`; forgets its own.
    /// - Precondition: the other has that many.
    public func copyPrefix(of other: DecoderState, positions: Int) {
        cache.copyPrefix(of: other.cache, positions: positions)
        inputs = other.inputs
        inputs?.truncate(to: positions)
        base = other.base
    }

    /// Bytes of keys and values.
    public var cacheByteCount: Int { cache.byteCount }
}

/// Matrices for passes of a few tokens, kept from one to the next.
final class StepBuffers {
    private var hidden: Matrix
    private var vocabulary: Matrix

    init(_ backbone: BackboneConfiguration) {
        hidden = Matrix(rows: 1, columns: backbone.hiddenSize)
        vocabulary = Matrix(rows: 1, columns: backbone.vocabularySize)
    }

    /// For the embeddings of so many tokens. `[rows, hidden]`
    func embeddings(rows: Int) -> Matrix { Self.take(rows, of: &hidden) }

    /// `[rows, vocabulary]`
    func logits(rows: Int) -> Matrix { Self.take(rows, of: &vocabulary) }

    private static func take(_ rows: Int, of matrix: inout Matrix) -> Matrix {
        if matrix.rows < rows { matrix = Matrix(rows: rows, columns: matrix.columns) }
        return matrix.sharing(firstRows: rows)
    }
}

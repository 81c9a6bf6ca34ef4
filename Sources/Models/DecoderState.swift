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
    /// What a pass over this sequence alone is about; kept so that the next one does not allocate it.
    var sequences: [PassSequence] = []
    private let rotary: RotaryEmbedding

    init(
        _ backbone: BackboneConfiguration, rotary: RotaryEmbedding, recomputes: Bool, cacheFormat: KVCacheFormat
    ) {
        self.rotary = rotary
        if recomputes, case .dynamic = backbone.rope.scaling { inputs = SequenceInputs(width: backbone.hiddenSize) }
        cache = KVCache(
            layerCount: backbone.layerCount, groups: backbone.keyValueHeadCount, headSize: backbone.headSize,
            format: cacheFormat)
        steps = StepBuffers(backbone)
    }

    /// Positions seen so far.
    public var count: Int { cache.count }

    /// Makes room ahead for that many positions in all: from the second step on, decoding up to there allocates nothing.
    ///
    /// Except past the limit of dynamic rotary scaling, where every length has angles of its own.
    public func reserve(_ positions: Int) {
        cache.reserve(positions)
        inputs?.reserve(positions)
        let base = rotary.configuration.base
        let length = rotary.changesBase(length: positions) ? rotary.configuration.maxPositions : positions
        if length > 0, rotary.base(length: length) == base { _ = rotary.table(length: length) }
    }

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
    private var hidden: FirstRows
    private var vocabulary: FirstRows

    init(_ backbone: BackboneConfiguration) {
        hidden = FirstRows(Matrix(rows: 1, columns: backbone.hiddenSize))
        vocabulary = FirstRows(Matrix(rows: 1, columns: backbone.vocabularySize))
    }

    /// For the embeddings of so many tokens. `[rows, hidden]`
    func embeddings(rows: Int) -> Matrix { hidden.take(rows) }

    /// `[rows, vocabulary]`
    func logits(rows: Int) -> Matrix { vocabulary.take(rows) }

    /// A matrix that grows, and its first rows as matrices of their own, each made once.
    private struct FirstRows {
        private var whole: Matrix
        /// By their number of rows.
        private var parts: [Matrix?] = []

        init(_ matrix: Matrix) { whole = matrix }

        mutating func take(_ rows: Int) -> Matrix {
            if whole.rows < rows {
                whole = Matrix(rows: rows, columns: whole.columns)
                parts = []
            }
            if parts.isEmpty { parts = [Matrix?](repeating: nil, count: whole.rows + 1) }
            if let part = parts[rows] { return part }
            let part = whole.sharing(firstRows: rows)
            parts[rows] = part
            return part
        }
    }
}

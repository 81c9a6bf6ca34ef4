import Kernels
import Tensors

/// Scaled dot-product attention with grouped heads (Ainslie et al. 2023): each key-value head serves
/// `headsPerGroup` query heads.
///
/// Softmax runs along with the products, a block of keys at a time (Dao et al. 2022): what is in memory for each core does
/// not grow with the length.
public struct Attention: Sendable {
    public let groupCount: Int
    public let headsPerGroup: Int
    public let headSize: Int
    public let isCausal: Bool
    /// A query sees at most this many of the latest positions, itself included.
    public let window: Int?

    public init(groupCount: Int, headsPerGroup: Int, headSize: Int, isCausal: Bool, window: Int? = nil) {
        precondition(groupCount > 0 && headsPerGroup > 0 && headSize > 0)
        self.groupCount = groupCount
        self.headsPerGroup = headsPerGroup
        self.headSize = headSize
        self.isCausal = isCausal
        self.window = window
    }

    /// - Parameters:
    ///   - queries: `[tokens, ...]`, rotated where the model rotates; the heads of group g begin at column
    ///     `g * groupStride`. They stand at the last positions of `keys`.
    ///   - keys: `[positions, groups * headSize]`
    ///   - values: `[positions, groups * headSize]`
    ///   - output: `[tokens, groups * headsPerGroup * headSize]`, overwritten.
    public func forward(
        queries: MatrixView, groupStride: Int, keys: MatrixView, values: MatrixView, into output: MatrixView,
        workspace: Workspace
    ) {
        forward(
            queries: queries, groupStride: groupStride, keys: KVRows(keys), values: KVRows(values), into: output,
            workspace: workspace)
    }

    /// The same over keys and values as a cache holds them.
    ///
    /// Few queries read what is stored, a part of the positions at a time, and the parts are merged; many are taken in blocks
    /// over keys and values that are widened and packed. Up to `Linear.directRows` queries go the first way, by the same
    /// arithmetic as a query alone: that many tokens in one pass give the bits of as many steps. Neither way depends on the
    /// number of threads.
    public func forward(
        queries: MatrixView, groupStride: Int, keys: KVRows, values: KVRows, into output: MatrixView,
        workspace: Workspace
    ) {
        let tokens = queries.rows
        precondition(keys.rows == values.rows && output.rows == tokens && (!isCausal || keys.rows >= tokens))
        guard tokens > 0 else { return }
        let pass = AttentionPass(
            attention: self, queries: queries, groupStride: groupStride, keys: keys, values: values, output: output)
        if tokens <= Linear.directRows {
            pass.runParts(workspace: workspace)
        } else {
            pass.runBlocks(workspace: workspace)
        }
    }
}

/// What one call reads and writes.
struct AttentionPass {
    let attention: Attention
    let queries: MatrixView
    let groupStride: Int
    let keys: KVRows
    let values: KVRows
    let output: MatrixView

    /// One group's heads for some of the tokens.
    func kernel(group: Int, tokens: Range<Int>) -> AttentionKernel {
        let size = attention.headSize
        let heads = attention.headsPerGroup * size
        let columns = group * size..<(group + 1) * size
        return AttentionKernel(
            keys: keys.head(columns), values: values.head(columns), positions: keys.rows,
            queries: queries.row(tokens.lowerBound) + group * groupStride, tokens: tokens.count,
            heads: attention.headsPerGroup, queryStride: queries.stride,
            position: keys.rows - queries.rows + tokens.lowerBound, isCausal: attention.isCausal,
            window: attention.window, output: output.row(tokens.lowerBound) + group * heads,
            outputStride: output.stride)
    }

    // MARK: Many queries

    /// Rows (tokens times heads of a group) that share what is packed.
    private static let blockRows = 256
    /// A block's tokens are a multiple of this, so that the kernels' tiles are whole.
    private static let tileTokens = 8

    func runBlocks(workspace: Workspace) {
        let tokens = max(
            AttentionPass.tileTokens,
            AttentionPass.blockRows / attention.headsPerGroup / AttentionPass.tileTokens * AttentionPass.tileTokens)
        let blocks = Parallel.rangeCount(of: queries.rows, size: tokens)
        Parallel.forEach(
            count: attention.groupCount * blocks,
            Blocks(pass: self, count: blocks, tokens: tokens, workspace: workspace))
    }

    /// Blocks of tokens, and groups.
    private struct Blocks: ParallelBody {
        let pass: AttentionPass
        let count: Int
        let tokens: Int
        let workspace: Workspace

        func run(_ index: Int) {
            let groups = pass.attention.groupCount
            // The last blocks are the longest ones; begin with them.
            let range = Parallel.range(count - 1 - index / groups, of: pass.queries.rows, size: tokens)
            let kernel = pass.kernel(group: index % groups, tokens: range)
            let room = AttentionKernel.scratchCount(
                tokens: range.count, heads: pass.attention.headsPerGroup, headSize: pass.attention.headSize)
            workspace.withScratch(room) { kernel.attend(scratch: $0) }
        }
    }

    // MARK: Few queries

    func runParts(workspace: Workspace) {
        let (first, last) = parts
        let size = AttentionKernel.partCount(
            tokens: queries.rows, heads: attention.headsPerGroup, headSize: attention.headSize)
        // Twice as many parts at a time: a sequence that grows rarely needs more memory.
        var room = 4
        while room < last { room *= 2 }
        let results = workspace.view(.attentionParts, rows: room, columns: attention.groupCount * size)
        Parallel.forEach(
            count: attention.groupCount * (last - first),
            Parts(pass: self, first: first, size: size, results: results))
        for group in 0..<attention.groupCount {
            kernel(group: group, tokens: 0..<queries.rows).merge(
                results.pointer + group * size, stride: results.stride)
        }
    }

    /// The parts of the positions that any of the queries sees.
    private var parts: (first: Int, last: Int) {
        let first = attention.visible(position: keys.rows - queries.rows, keys: keys.rows).lowerBound
        return (first / AttentionKernel.partLength, AttentionKernel.parts(positions: keys.rows))
    }

    /// Parts of the positions, and groups.
    private struct Parts: ParallelBody {
        let pass: AttentionPass
        let first: Int
        /// Floats of a result.
        let size: Int
        /// `[parts, groups * size]`
        let results: MatrixView

        func run(_ index: Int) {
            // Groups of one part after each other: they lie side by side in memory.
            let groups = pass.attention.groupCount
            let part = first + index / groups
            let group = index % groups
            pass.kernel(group: group, tokens: 0..<pass.queries.rows).attend(
                part: part, into: results.row(part) + group * size)
        }
    }
}

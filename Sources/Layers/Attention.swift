import Kernels
import Tensors

/// Scaled dot-product attention with grouped heads (Ainslie et al. 2023): each key-value head serves
/// `headsPerGroup` query heads.
///
/// Queries are taken in blocks, so that the scores in memory are `[block, keys]` for each core and do not grow with the
/// square of the length.
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

    static let blockRows = 64

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
    /// Few queries read what is stored; for many, a head's keys and values are widened to float32 in scratch, a block of
    /// queries at a time. Up to `Linear.directRows` queries are attended to one by one, by the same arithmetic as a query
    /// alone: that many tokens in one pass give the bits of as many steps.
    public func forward(
        queries: MatrixView, groupStride: Int, keys: KVRows, values: KVRows, into output: MatrixView,
        workspace: Workspace
    ) {
        let tokens = queries.rows
        precondition(keys.rows == values.rows && output.rows == tokens && (!isCausal || keys.rows >= tokens))
        let blocks = (tokens + Attention.blockRows - 1) / Attention.blockRows
        let heads = groupCount * headsPerGroup
        Parallel.forEach(
            count: heads * blocks,
            Loop(
                attention: self, blocks: blocks, queries: queries, groupStride: groupStride, keys: keys,
                values: values, output: output, workspace: workspace))
    }

    /// Heads, and blocks of queries.
    private struct Loop: ParallelBody {
        let attention: Attention
        let blocks: Int
        let queries: MatrixView
        let groupStride: Int
        let keys: KVRows
        let values: KVRows
        let output: MatrixView
        let workspace: Workspace

        func run(_ index: Int) {
            // The last blocks are the longest ones; begin with them.
            let block = blocks - 1 - index % blocks
            let rows = block * Attention.blockRows..<min((block + 1) * Attention.blockRows, queries.rows)
            attention.attend(
                head: index / blocks, rows: rows, queries: queries, groupStride: groupStride, keys: keys,
                values: values, output: output, workspace: workspace)
        }
    }

    /// Probabilities in place of one query's scores over `span` keys from `first` on; 0 for those that it does not see.
    func softmax(_ scores: UnsafeMutablePointer<Float>, position: Int, from first: Int, span: Int) {
        let seen = visible(position: position, keys: first + span)
        let before = seen.lowerBound - first
        let after = first + span - seen.upperBound
        scores.update(repeating: 0, count: before)
        VectorMath.softmax(scores + before, count: seen.count)
        (scores + span - after).update(repeating: 0, count: after)
    }

    /// The positions that the query at `position` sees.
    func visible(position: Int, keys: Int) -> Range<Int> {
        guard isCausal else { return 0..<keys }
        return max(0, position + 1 - (window ?? Int.max / 2))..<position + 1
    }

    /// What one head's block of queries reads and writes.
    private struct Block {
        /// `[tokens of the block, headSize]`
        let query: MatrixView
        /// Position of the first of them.
        let position: Int
        /// Columns of the head's group in keys and values.
        let columns: Range<Int>
        /// `[tokens of the block, headSize]`
        let target: MatrixView
    }

    private func attend(
        head: Int, rows: Range<Int>, queries: MatrixView, groupStride: Int, keys: KVRows, values: KVRows,
        output: MatrixView, workspace: Workspace
    ) {
        let group = head / headsPerGroup
        let own = group * groupStride + head % headsPerGroup * headSize
        func block(_ rows: Range<Int>) -> Block {
            Block(
                query: queries.rows(rows).columns(own..<own + headSize),
                position: keys.rows - queries.rows + rows.lowerBound,
                columns: group * headSize..<(group + 1) * headSize,
                target: output.rows(rows).columns(head * headSize..<(head + 1) * headSize))
        }
        if queries.rows <= Linear.directRows || rows.count == 1 {
            for row in rows { attendRow(block(row..<row + 1), keys: keys, values: values, workspace: workspace) }
        } else {
            attendRows(block(rows), keys: keys, values: values, workspace: workspace)
        }
    }

    /// One query: keys and values are read as they are stored.
    private func attendRow(_ block: Block, keys: KVRows, values: KVRows, workspace: Workspace) {
        let seen = visible(position: block.position, keys: keys.rows)
        workspace.withScratch(seen.count) { scores in
            keys.multiply(rows: seen, columns: block.columns, x: block.query.pointer, into: scores)
            VectorMath.scale(scores, by: 1 / Float(headSize).squareRoot(), count: seen.count)
            VectorMath.softmax(scores, count: seen.count)
            block.target.pointer.update(repeating: 0, count: headSize)
            values.accumulate(rows: seen, columns: block.columns, weights: scores, into: block.target.pointer)
        }
    }

    /// Several queries, as matrix products over all that any of them sees.
    private func attendRows(_ block: Block, keys: KVRows, values: KVRows, workspace: Workspace) {
        let (count, query, target) = (block.query.rows, block.query, block.target)
        let first = visible(position: block.position, keys: keys.rows).lowerBound
        let last = visible(position: block.position + count - 1, keys: keys.rows).upperBound
        let span = last - first
        workspace.withScratch(count * span) { scores in
            // [count, span]
            withFloats(keys, first..<last, block.columns, workspace) { key in
                BLAS.gemm(
                    transposeB: true, m: count, n: span, k: headSize, alpha: 1 / Float(headSize).squareRoot(),
                    a: query.pointer, lda: query.stride, b: key.pointer, ldb: key.stride, c: scores, ldc: span)
            }
            for row in 0..<count {
                softmax(scores + row * span, position: block.position + row, from: first, span: span)
            }
            withFloats(values, first..<last, block.columns, workspace) { value in
                BLAS.gemm(
                    m: count, n: headSize, k: span, a: scores, lda: span, b: value.pointer, ldb: value.stride,
                    c: target.pointer, ldc: target.stride)
            }
        }
    }

    /// Some rows and columns in float32: in place, or widened in scratch.
    private func withFloats(
        _ stored: KVRows, _ rows: Range<Int>, _ columns: Range<Int>, _ workspace: Workspace,
        _ body: (MatrixView) -> Void
    ) {
        if let floats = stored.floats { return body(floats.rows(rows).columns(columns)) }
        workspace.withScratch(rows.count * columns.count) { scratch in
            stored.widen(rows: rows, columns: columns, into: scratch)
            body(MatrixView(scratch, rows: rows.count, columns: columns.count))
        }
    }
}

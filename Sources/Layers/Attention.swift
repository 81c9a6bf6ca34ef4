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
        let tokens = queries.rows
        precondition(keys.rows == values.rows && output.rows == tokens && (!isCausal || keys.rows >= tokens))
        let blocks = (tokens + Attention.blockRows - 1) / Attention.blockRows
        let heads = groupCount * headsPerGroup
        Parallel.forEach(count: heads * blocks) { task in
            let head = task / blocks
            // The last blocks are the longest ones; begin with them.
            let block = blocks - 1 - task % blocks
            let rows = block * Attention.blockRows..<min((block + 1) * Attention.blockRows, tokens)
            attend(
                head: head, rows: rows, queries: queries, groupStride: groupStride, keys: keys, values: values,
                output: output,
                workspace: workspace)
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

    private func attend(
        head: Int, rows: Range<Int>, queries: MatrixView, groupStride: Int, keys: MatrixView, values: MatrixView,
        output: MatrixView, workspace: Workspace
    ) {
        let group = head / headsPerGroup
        let past = keys.rows - queries.rows
        let first = visible(position: past + rows.lowerBound, keys: keys.rows).lowerBound
        let last = visible(position: past + rows.upperBound - 1, keys: keys.rows).upperBound
        let span = last - first
        let query = queries.row(rows.lowerBound) + group * groupStride + head % headsPerGroup * headSize
        let key = keys.row(first) + group * headSize
        let value = values.row(first) + group * headSize
        let target = output.row(rows.lowerBound) + head * headSize
        let scale = 1 / Float(headSize).squareRoot()

        workspace.withScratch(rows.count * span) { scores in
            // [rows, span]
            if rows.count == 1 {
                RowProduct.multiply(
                    key, type: .f32, rows: span, columns: headSize, stride: keys.stride, x: query, into: scores)
                VectorMath.scale(scores, by: scale, count: span)
            } else {
                BLAS.gemm(
                    transposeB: true, m: rows.count, n: span, k: headSize, alpha: scale, a: query, lda: queries.stride,
                    b: key,
                    ldb: keys.stride, c: scores, ldc: span)
            }
            for row in 0..<rows.count {
                softmax(scores + row * span, position: past + rows.lowerBound + row, from: first, span: span)
            }
            if rows.count == 1 {
                target.update(repeating: 0, count: headSize)
                RowProduct.accumulate(
                    value, rows: span, columns: headSize, stride: values.stride, weights: scores, into: target)
            } else {
                BLAS.gemm(
                    m: rows.count, n: headSize, k: span, a: scores, lda: span, b: value, ldb: values.stride, c: target,
                    ldc: output.stride)
            }
        }
    }
}

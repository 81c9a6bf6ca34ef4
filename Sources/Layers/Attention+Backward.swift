import Kernels

extension Attention {
    /// Queries of a block: the scores in memory are `[block, keys]` for each core.
    private static let backwardRows = 64

    /// The backward pass over whole sequences (`keys` stand at the positions of `queries`).
    ///
    /// Probabilities are computed again, a block of queries at a time, so that memory does not grow with the square of the
    /// length. A group's keys and values are one core's work: sums over queries have one order.
    /// - Parameters:
    ///   - queries, keys, values: as in the forward pass.
    ///   - gradient: with respect to the output, `[tokens, groups * headsPerGroup * headSize]`.
    ///   - queryGradient: laid out as `queries`; only the heads are written.
    ///   - keyGradient: `[tokens, groups * headSize]`, overwritten; `valueGradient` likewise.
    public func backward(
        queries: MatrixView, groupStride: Int, keys: MatrixView, values: MatrixView, gradient: MatrixView,
        queryGradient: MatrixView, keyGradient: MatrixView, valueGradient: MatrixView, workspace: Workspace
    ) {
        let tokens = queries.rows
        precondition(keys.rows == tokens && values.rows == tokens && gradient.rows == tokens)
        precondition(queryGradient.rows == tokens && keyGradient.rows == tokens && valueGradient.rows == tokens)
        Parallel.forEach(count: groupCount) { group in
            let columns = group * headSize..<(group + 1) * headSize
            let key = keys.columns(columns)
            let value = values.columns(columns)
            let toKey = keyGradient.columns(columns)
            let toValue = valueGradient.columns(columns)
            for row in 0..<tokens {
                toKey.row(row).update(repeating: 0, count: headSize)
                toValue.row(row).update(repeating: 0, count: headSize)
            }
            for head in 0..<headsPerGroup {
                let own = group * groupStride + head * headSize
                let place = (group * headsPerGroup + head) * headSize
                for start in stride(from: 0, to: tokens, by: Attention.backwardRows) {
                    let rows = start..<min(start + Attention.backwardRows, tokens)
                    backwardBlock(
                        rows, query: queries.columns(own..<own + headSize), key: key, value: value,
                        gradient: gradient.columns(place..<place + headSize),
                        toQuery: queryGradient.columns(own..<own + headSize), toKey: toKey, toValue: toValue,
                        workspace: workspace)
                }
            }
        }
    }

    /// One head's block of queries.
    private func backwardBlock(
        _ rows: Range<Int>, query: MatrixView, key: MatrixView, value: MatrixView, gradient: MatrixView,
        toQuery: MatrixView, toKey: MatrixView, toValue: MatrixView, workspace: Workspace
    ) {
        let first = visible(position: rows.lowerBound, keys: key.rows).lowerBound
        let last = visible(position: rows.upperBound - 1, keys: key.rows).upperBound
        let span = last - first
        let count = rows.count
        let scale = 1 / Float(headSize).squareRoot()
        let (query, gradient, toQuery) = (query.rows(rows), gradient.rows(rows), toQuery.rows(rows))
        let (key, value) = (key.rows(first..<last), value.rows(first..<last))
        let (toKey, toValue) = (toKey.rows(first..<last), toValue.rows(first..<last))
        workspace.withScratch(2 * count * span) { scratch in
            let p = scratch  // [count, span]
            let dp = scratch + count * span  // [count, span]
            BLAS.gemm(
                transposeB: true, m: count, n: span, k: headSize, alpha: scale, a: query.pointer, lda: query.stride,
                b: key.pointer, ldb: key.stride, c: p, ldc: span)
            BLAS.gemm(
                transposeB: true, m: count, n: span, k: headSize, a: gradient.pointer, lda: gradient.stride,
                b: value.pointer, ldb: value.stride, c: dp, ldc: span)
            for row in 0..<count { softmax(p + row * span, position: rows.lowerBound + row, from: first, span: span) }
            BLAS.gemm(
                transposeA: true, m: span, n: headSize, k: count, a: p, lda: span, b: gradient.pointer,
                ldb: gradient.stride, beta: 1, c: toValue.pointer, ldc: toValue.stride)
            for row in 0..<count {
                VectorMath.softmaxBackward(p + row * span, scale: scale, gradient: dp + row * span, count: span)
            }
            BLAS.gemm(
                m: count, n: headSize, k: span, a: dp, lda: span, b: key.pointer, ldb: key.stride,
                c: toQuery.pointer, ldc: toQuery.stride)
            BLAS.gemm(
                transposeA: true, m: span, n: headSize, k: count, a: dp, lda: span, b: query.pointer,
                ldb: query.stride, beta: 1, c: toKey.pointer, ldc: toKey.stride)
        }
    }

    /// Probabilities in place of one query's scores over `span` keys from `first` on; 0 for those that it does not see.
    private func softmax(_ scores: UnsafeMutablePointer<Float>, position: Int, from first: Int, span: Int) {
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
}

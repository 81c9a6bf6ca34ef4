import Bytes
import Kernels
import LinearAlgebra
import Synchronization
import Tensors

/// A sum of deltas, cut to a rank: `B = U S` and `A = V^T` of its singular value decomposition, as PEFT splits it.
///
/// Signs of singular vectors are `SingularValueDecomposition`'s, not LAPACK's, so the halves may differ from PEFT's in sign; their
/// product does not.
final class DecomposedSum: Sendable {
    enum Half: Sendable, Hashable {
        case a
        case b
    }

    private let members: [AdapterCombination.Member]
    private let arithmetic: TaskArithmetic
    private let rank: Int
    /// What was computed for one half and waits for the other.
    private let waiting = Mutex<[Half: FactorNumbers]>([:])

    init(_ members: [AdapterCombination.Member], _ arithmetic: TaskArithmetic, rank: Int) {
        self.members = members
        self.arithmetic = arithmetic
        self.rank = rank
    }

    /// A half, padded with zeros up to the rank.
    func half(_ wanted: Half) throws(CrayonError) -> FactorNumbers {
        if let ready = waiting.withLock({ $0.removeValue(forKey: wanted) }) { return ready }
        let decomposition = try decompose()
        let count = min(decomposition.count, rank)
        let (u, v) = (decomposition.u, decomposition.v)
        var a = [Float](repeating: 0, count: rank * v.rows)
        var b = [Float](repeating: 0, count: u.rows * rank)
        for column in 0..<count {
            for row in 0..<v.rows { a[column * v.rows + row] = v.pointer[row * v.columns + column] }
            for row in 0..<u.rows {
                b[row * rank + column] = u.pointer[row * u.columns + column] * decomposition.values[column]
            }
        }
        let halves: [Half: FactorNumbers] = [
            .a: FactorNumbers(rows: rank, columns: v.rows, values: a),
            .b: FactorNumbers(rows: u.rows, columns: rank, values: b),
        ]
        let other: Half = wanted == .a ? .b : .a
        waiting.withLock { $0[other] = halves[other] }
        guard let half = halves[wanted] else { preconditionFailure("both halves are there") }
        return half
    }

    private func decompose() throws(CrayonError) -> SingularValueDecomposition {
        let first = members[0].module
        let item = "module '\(first.path)'"
        guard arithmetic.method != .svd else { return try decomposeProduct(item: item) }
        var deltas: [FactorNumbers] = []
        for member in members { deltas.append(try delta(member.module)) }
        // The places of a delta are counted as in the weight beside it, which decides between equals.
        let isTransposed = first.isTransposed || first.kind == .embedding
        if isTransposed { deltas = deltas.map { $0.transposed() } }
        var sum = arithmetic.combine(
            deltas, weights: members.map { Float($0.weight) }, name: first.path + ".delta")
        if isTransposed { sum = sum.transposed() }
        return try SingularValueDecomposition.full(
            of: Matrix(rows: sum.rows, columns: sum.columns, values: sum.values), place: members[0].place, item: item)
    }

    /// Of a plain sum, without forming it.
    private func decomposeProduct(item: String) throws(CrayonError) -> SingularValueDecomposition {
        var a: [Float] = []
        var columns: [Float] = []
        var depth = 0
        for member in members {
            let half = FactorNumbers(try member.module.a.tensor())
            a += half.multiplied(by: Float(member.weight * member.module.scale)).values
            columns += FactorNumbers(try member.module.b.tensor()).transposed().values
            depth += half.rows
        }
        let (out, input) = (members[0].module.b.shape[0], members[0].module.a.shape[1])
        return try SingularValueDecomposition.ofProduct(
            Matrix(rows: depth, columns: out, values: columns).transposed(),
            Matrix(rows: depth, columns: input, values: a), place: members[0].place, item: item)
    }

    /// `[out, in]`, with PyTorch's bits.
    private func delta(_ module: AdapterModule) throws(CrayonError) -> FactorNumbers {
        let a = FactorNumbers(try module.a.tensor())
        let b = FactorNumbers(try module.b.tensor())
        var values = [Float](repeating: 0, count: b.rows * a.columns)
        values.withUnsafeMutableBufferPointer { values in
            guard let start = values.baseAddress else { return }
            nonisolated(unsafe) let target = start
            Parallel.forEachRange(of: b.rows, size: 64) { rows in
                a.values.withUnsafeBufferPointer { right in
                    b.values.withUnsafeBufferPointer { left in
                        guard let left = left.baseAddress, let right = right.baseAddress else { return }
                        LowRankProduct.multiply(
                            left + rows.lowerBound * b.columns, stride: b.columns, by: right, stride: a.columns,
                            rows: rows.count, columns: a.columns, depth: b.columns,
                            into: target + rows.lowerBound * a.columns, stride: a.columns)
                    }
                }
            }
        }
        return FactorNumbers(rows: b.rows, columns: a.columns, values: values).multiplied(by: Float(module.scale))
    }
}

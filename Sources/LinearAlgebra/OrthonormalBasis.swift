import Kernels
import Tensors

/// Orthonormal columns that grow by panels of 16: classical Gram-Schmidt with as many passes as it takes, panels by
/// Cholesky decompositions of their Gram matrices in float64.
///
/// Directions that lie in the basis already, up to rounding, are replaced by random ones: the basis always grows by 16.
final class OrthonormalBasis {
    private static let width = PanelProduct.width
    /// Rows of a task.
    private static let run = 1024

    let rows: Int
    /// Columns so far.
    private(set) var count = 0
    /// `[rows, stride]`, of which `count` columns are filled.
    private(set) var store: Matrix
    var stride: Int { store.columns }
    private let seed: UInt64
    private var drawn = 0

    init(rows: Int, capacity: Int, seed: UInt64) {
        self.rows = rows
        self.seed = seed
        store = Matrix(rows: rows, columns: max(capacity, Self.width))
    }

    /// Fills a panel with normal numbers, never the same twice.
    /// - Parameter panel: `[rows, 16]`
    func draw(_ panel: UnsafeMutablePointer<Float>) {
        for column in 0..<Self.width { draw(panel, column: column) }
    }

    private func draw(_ panel: UnsafeMutablePointer<Float>, column: Int) {
        var gaussian = Gaussian(seed: seed, name: "direction \(drawn)")
        drawn += 1
        gaussian.fill(panel + column, count: rows, stride: Self.width)
    }

    /// Makes the panel's columns orthonormal to the basis and to each other, and adds them to it.
    /// - Precondition: 16 more columns are at most as many as there are rows.
    func append(_ panel: UnsafeMutablePointer<Float>) {
        precondition(count + Self.width <= rows)
        grow(to: count + Self.width)
        // Two passes as a rule ("twice is enough"); more where directions had to be drawn.
        for _ in 0..<8 {
            let isReplaced = normalize(panel)
            project(panel)
            if orthonormalize(panel), !isReplaced { break }
        }
        for row in 0..<rows {
            (store.pointer + row * stride + count).update(from: panel + row * Self.width, count: Self.width)
        }
        count += Self.width
    }

    private func grow(to capacity: Int) {
        guard capacity > stride else { return }
        let wider = Matrix(rows: rows, columns: max(capacity, stride + stride / 2 / Self.width * Self.width))
        for row in 0..<rows {
            (wider.pointer + row * wider.columns).update(from: store.pointer + row * stride, count: count)
        }
        store = wider
    }

    /// Scales columns to norm 1; those of norm 0 are drawn anew.
    private func normalize(_ panel: UnsafeMutablePointer<Float>) -> Bool {
        var squares = [Double](repeating: 0, count: Self.width)
        var isReplaced = false
        for attempt in 0..<2 {
            for column in 0..<Self.width { squares[column] = 0 }
            for row in 0..<rows {
                for column in 0..<Self.width {
                    let value = Double(panel[row * Self.width + column])
                    squares[column] += value * value
                }
            }
            let empty = squares.indices.filter { !(squares[$0] > 0) }
            guard attempt == 0, !empty.isEmpty else { break }
            for column in empty { draw(panel, column: column) }
            isReplaced = true
        }
        let factors = squares.map { Float(1 / $0.squareRoot()) }
        for row in 0..<rows {
            for column in 0..<Self.width { panel[row * Self.width + column] *= factors[column] }
        }
        return isReplaced
    }

    /// `P -= V (V^T P)`
    private func project(_ panel: UnsafeMutablePointer<Float>) {
        guard count > 0 else { return }
        let tasks = (rows - 1) / Self.run + 1
        let parts = Matrix(rows: tasks, columns: count * Self.width)
        Parallel.forEachRange(of: rows, size: Self.run) { range in
            let part = parts.pointer + range.lowerBound / Self.run * parts.columns
            // A few rows at a time, whose sums stay in a cache.
            for start in Swift.stride(from: range.lowerBound, to: range.upperBound, by: 48) {
                PanelProduct.accumulate(
                    transposed: store.pointer + start * stride, stride: stride,
                    rows: min(48, range.upperBound - start), count: count, by: panel + start * Self.width, into: part)
            }
        }
        for task in 1..<max(tasks, 1) {
            VectorMath.add(parts.pointer + task * parts.columns, into: parts.pointer, count: parts.columns)
        }
        VectorMath.scale(parts.pointer, by: -1, count: parts.columns)
        Parallel.forEachRange(of: rows, size: Self.run) { range in
            PanelProduct.multiply(
                store.pointer + range.lowerBound * stride, stride: stride, rows: range.count, count: count,
                by: parts.pointer, into: panel + range.lowerBound * Self.width, adding: true)
        }
    }

    /// `P = P R^-1` with `P^T P = R^T R`.
    /// - Returns: whether that was a small correction, so that P is as orthogonal to the basis as it was before.
    private func orthonormalize(_ panel: UnsafeMutablePointer<Float>) -> Bool {
        let width = Self.width
        let gram = self.gram(of: panel)
        // Row-major lower triangle L with P^T P = L L^T, and L^-1 beside it.
        var l = [Double](repeating: 0, count: width * width)
        var dependent: [Int] = []
        var isSmall = true
        for j in 0..<width {
            var pivot = gram[j * width + j]
            for k in 0..<j { pivot -= l[j * width + k] * l[j * width + k] }
            if pivot < 0.25 { isSmall = false }
            guard pivot > 1e-13, pivot > 1e-10 * gram[j * width + j] else {
                dependent.append(j)
                l[j * width + j] = 1
                continue
            }
            l[j * width + j] = pivot.squareRoot()
            for i in j + 1..<max(width, j + 1) {
                var sum = gram[i * width + j]
                for k in 0..<j { sum -= l[i * width + k] * l[j * width + k] }
                l[i * width + j] = sum / l[j * width + j]
            }
        }
        guard dependent.isEmpty else {
            for column in dependent { draw(panel, column: column) }
            return false
        }
        // The transpose of L^-1, which is R^-1.
        var inverse = [Float](repeating: 0, count: width * width)
        for column in 0..<width {
            var solution = [Double](repeating: 0, count: width)
            for i in column..<width {
                var sum = i == column ? 1.0 : 0
                for k in column..<i { sum -= l[i * width + k] * solution[k] }
                solution[i] = sum / l[i * width + i]
                inverse[column * width + i] = Float(solution[i])
            }
        }
        Parallel.forEachRange(of: rows, size: Self.run) { range in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: range.count * width) { scratch in
                guard let target = scratch.baseAddress else { return }
                let source = panel + range.lowerBound * width
                PanelProduct.multiply(
                    source, stride: width, rows: range.count, count: width, by: inverse, into: target)
                source.update(from: target, count: range.count * width)
            }
        }
        return isSmall
    }

    private func gram(of panel: UnsafeMutablePointer<Float>) -> [Double] {
        let width = Self.width
        var gram = [Double](repeating: 0, count: width * width)
        withUnsafeTemporaryAllocation(of: Double.self, capacity: Self.run * width) { wide in
            guard let target = wide.baseAddress else { return }
            for start in Swift.stride(from: 0, to: rows, by: Self.run) {
                let count = min(Self.run, rows - start)
                for index in 0..<count * width { target[index] = Double(panel[start * width + index]) }
                BLAS.gemm(
                    transposeA: true, m: width, n: width, k: count, a: target, lda: width, b: target, ldb: width,
                    beta: 1, c: &gram, ldc: width)
            }
        }
        return gram
    }
}

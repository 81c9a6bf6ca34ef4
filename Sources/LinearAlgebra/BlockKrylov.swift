import Bytes
import Kernels
import Tensors

/// The space spanned by `V, A^T A V, (A^T A)^2 V, …` of a random block V, and what A does to it.
///
/// Every block that powers of A^T A pass through is kept, and the best approximation is taken from all of them (Musco and Musco
/// 2015, after Halko, Martinsson and Tropp 2011, who keep the last): for the same residual far fewer products are needed
/// than subspace iteration needs. The products are those of `KrylovPass`, one pass over A for each block.
final class BlockKrylov {
    private static let width = PanelProduct.width

    let matrix: Matrix
    let squaredNorm: Double
    private let panels: Int
    private let basis: OrthonormalBasis
    private let pass: KrylovPass
    /// `[rows, stride]` in float64: A times the basis, times the pass's scale.
    private var image: [Double] = []
    private var imageStride = 0
    /// `[dimension, dimension]`: the image's Gram matrix, the projection of A^T A.
    private var gram: [Double] = []
    /// The block that comes next; the one before it, whose memory the one after it gets; and what A makes of it.
    private var block: Matrix
    private var spare: Matrix
    private let y: Matrix
    private(set) var dimension = 0

    /// - Parameters:
    ///   - panels: panels of 16 columns in a block.
    ///   - dimension: how large the space is expected to become.
    init(_ matrix: Matrix, squaredNorm: Double, panels: Int, dimension: Int, seed: UInt64) {
        self.matrix = matrix
        self.squaredNorm = squaredNorm
        self.panels = panels
        basis = OrthonormalBasis(rows: matrix.columns, capacity: dimension, seed: seed)
        let scale =
            squaredNorm > 0
            ? Float(sign: .plus, exponent: -squaredNorm.squareRoot().exponentInRange, significand: 1) : 1
        pass = KrylovPass(matrix: matrix, scale: scale)
        block = Matrix(rows: panels * matrix.columns, columns: Self.width)
        spare = Matrix(rows: panels * matrix.columns, columns: Self.width)
        y = Matrix(rows: panels * matrix.rows, columns: Self.width)
        for panel in 0..<panels { basis.draw(block.pointer + panel * matrix.columns * Self.width) }
    }

    /// What a step adds to the dimension.
    var step: Int { panels * Self.width }

    /// Adds a block to the space.
    /// - Parameter isLast: no other will follow.
    /// - Precondition: the dimension stays at most the number of columns.
    func extend(isLast: Bool) {
        let size = matrix.columns * Self.width
        for panel in 0..<panels { basis.append(block.pointer + panel * size) }
        pass.run(panels: panels, v: block, y: y, g: isLast ? nil : spare)
        appendImage()
        swap(&block, &spare)
    }

    private func appendImage() {
        let grown = dimension + step
        if grown > imageStride {
            let stride = max(grown, basis.stride)
            var wider = [Double](repeating: 0, count: matrix.rows * stride)
            for row in 0..<matrix.rows {
                for column in 0..<dimension { wider[row * stride + column] = image[row * imageStride + column] }
            }
            image = wider
            imageStride = stride
        }
        for panel in 0..<panels {
            for row in 0..<matrix.rows {
                let source = y.pointer + (panel * matrix.rows + row) * Self.width
                let target = row * imageStride + dimension + panel * Self.width
                for column in 0..<Self.width { image[target + column] = Double(source[column]) }
            }
        }
        extendGram(to: grown)
    }

    /// The rows and columns of the new block; 32 rows to a task.
    private func extendGram(to grown: Int) {
        var added = [Double](repeating: 0, count: grown * step)
        added.withUnsafeMutableBufferPointer { added in
            image.withUnsafeBufferPointer { image in
                nonisolated(unsafe) let (added, image) = (added, image)
                Parallel.forEachRange(of: grown, size: 32) { range in
                    guard let source = image.baseAddress, let target = added.baseAddress else { return }
                    BLAS.gemm(
                        transposeA: true, m: range.count, n: step, k: matrix.rows, a: source + range.lowerBound,
                        lda: imageStride, b: source + dimension, ldb: imageStride,
                        c: target + range.lowerBound * step, ldc: step)
                }
            }
        }
        var wider = [Double](repeating: 0, count: grown * grown)
        for row in 0..<grown {
            for column in 0..<grown {
                wider[row * grown + column] =
                    column >= dimension
                    ? added[row * step + column - dimension]
                    : row >= dimension ? added[column * step + row - dimension] : gram[row * dimension + column]
            }
        }
        gram = wider
        dimension = grown
    }

    /// Squares of the singular values of A on the space, descending: each at most that of A.
    func squaredValues() -> [Double] {
        var work = gram
        var values = [Double](repeating: 0, count: dimension)
        let info = LAPACK.symmetricEigenvalues(n: dimension, a: &work, values: &values, vectors: false)
        precondition(info == 0, "LAPACK finds no eigenvalues of a finite symmetric matrix (info \(info))")
        return values.reversed().map { max(0, $0) / (Double(pass.scale) * Double(pass.scale)) }
    }

    /// The best approximation from the space; fewer values than asked for where the rest are zero up to rounding.
    func decomposition(count: Int) -> SingularValueDecomposition {
        var vectors = gram
        var squares = [Double](repeating: 0, count: dimension)
        let info = LAPACK.symmetricEigenvalues(n: dimension, a: &vectors, values: &squares, vectors: true)
        precondition(info == 0, "LAPACK finds no eigenvectors of a finite symmetric matrix (info \(info))")
        // Ascending; row i of `vectors` belongs to value i.
        let floor = Double(Float.ulpOfOne) * (squares.last.map { max(0, $0) } ?? 0).squareRoot()
        let values = squares.reversed().prefix(count).map { max(0, $0).squareRoot() }.prefix { $0 > floor }
        // [dimension, kept] for V, and divided by the values for U.
        let kept = values.count
        let right = Matrix(rows: dimension, columns: kept)
        var left = [Double](repeating: 0, count: dimension * kept)
        for (column, value) in values.enumerated() {
            for row in 0..<dimension {
                let entry = vectors[(dimension - 1 - column) * dimension + row]
                right.pointer[row * kept + column] = Float(entry)
                left[row * kept + column] = entry / value
            }
        }
        return SingularValueDecomposition(
            u: imageProduct(left, columns: kept), values: values.map { Float($0 / Double(pass.scale)) },
            v: basisProduct(right), squaredNorm: squaredNorm)
    }

    private func basisProduct(_ right: Matrix) -> Matrix {
        let v = Matrix(rows: matrix.columns, columns: right.columns)
        guard right.columns > 0 else { return v }
        Parallel.forEachRange(of: v.rows, size: 512) { range in
            BLAS.gemm(
                m: range.count, n: v.columns, k: dimension, a: basis.store.pointer + range.lowerBound * basis.stride,
                lda: basis.stride, b: right.pointer, ldb: right.columns, c: v.pointer + range.lowerBound * v.columns,
                ldc: v.columns)
        }
        return v
    }

    private func imageProduct(_ left: [Double], columns: Int) -> Matrix {
        let u = Matrix(rows: matrix.rows, columns: columns)
        guard columns > 0 else { return u }
        image.withUnsafeBufferPointer { image in
            left.withUnsafeBufferPointer { left in
                nonisolated(unsafe) let (image, left) = (image, left)
                Parallel.forEachRange(of: u.rows, size: 512) { range in
                    withUnsafeTemporaryAllocation(of: Double.self, capacity: range.count * columns) { scratch in
                        guard let source = image.baseAddress, let factors = left.baseAddress,
                            let target = scratch.baseAddress
                        else { return }
                        BLAS.gemm(
                            m: range.count, n: columns, k: dimension, a: source + range.lowerBound * imageStride,
                            lda: imageStride, b: factors, ldb: columns, c: target, ldc: columns)
                        for index in 0..<range.count * columns {
                            u.pointer[range.lowerBound * columns + index] = Float(target[index])
                        }
                    }
                }
            }
        }
        return u
    }
}

extension Double {
    /// The exponent, held to what float32 has on both sides of 0.
    fileprivate var exponentInRange: Int { Swift.min(Swift.max(Int(exponent), -120), 120) }
}

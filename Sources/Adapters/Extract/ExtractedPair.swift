import Bytes
import Kernels
import LinearAlgebra
import Tensors

/// The halves of a pair from a singular value decomposition: the root of S on each side, so that neither half is small.
struct ExtractedPair {
    let rank: Int
    /// `[rank, in]`, or `[rank, rows]` of an embedding
    let a: Tensor
    /// `[out, rank]`, or `[width, rank]` of an embedding
    let b: Tensor
    /// |delta - B A| with the halves as they are stored.
    let error: Double

    /// - Parameters:
    ///   - delta: `[out, in]`, or `[rows, width]` of an embedding, which is the transpose of its B A.
    ///   - least: a rank that is filled up with zeros where there are fewer singular values.
    init(
        _ svd: SingularValueDecomposition, of delta: Matrix, kind: AdapterModule.Kind, type: ElementType,
        least: Int = 0
    ) {
        rank = max(svd.count, least)
        let left = Self.scaled(svd.u, svd.values, to: rank)
        let right = Self.scaled(svd.v, svd.values, to: rank).transposed()
        let (storedLeft, storedRight): (Matrix, Matrix)
        switch kind {
        case .linear:
            (b, storedLeft) = Self.store(left, "b", type)
            (a, storedRight) = Self.store(right, "a", type)
        case .embedding:
            (a, storedLeft) = { ($0.0, $0.1.transposed()) }(Self.store(left.transposed(), "a", type))
            (b, storedRight) = { ($0.0, $0.1.transposed()) }(Self.store(right.transposed(), "b", type))
        }
        error = Self.distance(delta, storedLeft, storedRight)
    }

    /// A pair that does nothing, for a bias without one.
    init(zeroFor shape: Shape, type: ElementType) {
        rank = 1
        a = Self.store(Matrix(rows: 1, columns: shape[1]), "a", type).0
        b = Self.store(Matrix(rows: shape[0], columns: 1), "b", type).0
        error = 0
    }

    /// PEFT's beginning: A uniform within 1 / sqrt(in), which is Kaiming's rule with a = sqrt 5, and B zero.
    init(uniformFor shape: Shape, rank: Int, type: ElementType, seed: UInt64, name: String) {
        self.rank = rank
        var generator = SplitMix64(seed: seed, name: name)
        let bound = 1 / Double(shape[1]).squareRoot()
        let values = Matrix(rows: rank, columns: shape[1])
        for index in 0..<values.count {
            values.pointer[index] = Float(bound * (2 * generator.uniform() - 1))
        }
        a = Self.store(values, "a", type).0
        b = Self.store(Matrix(rows: shape[0], columns: rank), "b", type).0
        error = 0
    }

    /// Each vector times the root of its value; zeros beyond.
    private static func scaled(_ vectors: Matrix, _ values: [Float], to rank: Int) -> Matrix {
        let roots = values.map { $0.squareRoot() }
        let scaled = Matrix(rows: vectors.rows, columns: rank)
        for row in 0..<scaled.rows {
            for column in roots.indices {
                scaled.pointer[row * rank + column] = vectors.pointer[row * roots.count + column] * roots[column]
            }
        }
        return scaled
    }

    /// The matrix in another type, and as it reads back.
    private static func store(_ matrix: Matrix, _ name: String, _ type: ElementType) -> (Tensor, Matrix) {
        let bytes = ByteBuffer(count: matrix.count * type.byteCount)
        FloatConversion.narrow(matrix.pointer, count: matrix.count, to: type, into: bytes.pointer)
        let tensor = Tensor(
            name: name, type: type, shape: Shape([matrix.rows, matrix.columns]), region: bytes.region)
        let read = Matrix(rows: matrix.rows, columns: matrix.columns)
        FloatConversion.widen(tensor, elements: 0..<matrix.count, into: read.pointer)
        return (tensor, read)
    }

    /// `|delta - left right|`, a few rows at a time.
    private static func distance(_ delta: Matrix, _ left: Matrix, _ right: Matrix) -> Double {
        let size = 128
        var parts = [Double](repeating: 0, count: (delta.rows + size - 1) / size)
        parts.withUnsafeMutableBufferPointer { parts in
            nonisolated(unsafe) let parts = parts
            Parallel.forEachRange(of: delta.rows, size: size) { rows in
                let product = Matrix(rows: rows.count, columns: delta.columns)
                product.pointer.update(from: delta.pointer + rows.lowerBound * delta.columns, count: product.count)
                BLAS.gemm(
                    m: rows.count, n: delta.columns, k: left.columns, alpha: -1,
                    a: left.pointer + rows.lowerBound * left.columns, lda: max(left.columns, 1), b: right.pointer,
                    ldb: delta.columns, beta: 1, c: product.pointer, ldc: delta.columns)
                for start in stride(from: 0, to: product.count, by: 256) {
                    let run = product.pointer + start
                    parts[rows.lowerBound / size] += Double(
                        VectorMath.dot(run, run, count: min(256, product.count - start)))
                }
            }
        }
        return parts.reduce(0, +).squareRoot()
    }
}

import Kernels
public import Tensors

/// Products of row-major matrices on all cores, in tiles whose sizes do not depend on their number.
public enum TallProduct {
    /// `A B`, split by rows of A.
    /// - Precondition: A has as many columns as B has rows.
    public static func multiply(_ a: Matrix, _ b: Matrix) -> Matrix {
        precondition(a.columns == b.rows)
        let c = Matrix(rows: a.rows, columns: b.columns)
        guard a.columns > 0 else { return c }
        Parallel.forEachRange(of: a.rows, size: 256) { rows in
            BLAS.gemm(
                m: rows.count, n: b.columns, k: a.columns, a: a.pointer + rows.lowerBound * a.columns, lda: a.columns,
                b: b.pointer, ldb: max(b.columns, 1), c: c.pointer + rows.lowerBound * b.columns,
                ldc: max(b.columns, 1))
        }
        return c
    }

    /// `A^T B`, split by columns of A.
    /// - Precondition: A and B have as many rows.
    public static func multiply(transposed a: Matrix, _ b: Matrix) -> Matrix {
        precondition(a.rows == b.rows)
        let c = Matrix(rows: a.columns, columns: b.columns)
        guard a.rows > 0 else { return c }
        Parallel.forEachRange(of: a.columns, size: 256) { columns in
            BLAS.gemm(
                transposeA: true, m: columns.count, n: b.columns, k: a.rows, a: a.pointer + columns.lowerBound,
                lda: a.columns, b: b.pointer, ldb: max(b.columns, 1), c: c.pointer + columns.lowerBound * b.columns,
                ldc: max(b.columns, 1))
        }
        return c
    }
}

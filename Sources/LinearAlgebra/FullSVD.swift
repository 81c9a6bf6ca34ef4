public import Bytes
import Kernels
public import Tensors

extension SingularValueDecomposition {
    /// Every singular value, by LAPACK's divide and conquer on one core: minutes for 4096 x 4096.
    /// - Parameters:
    ///   - place: the file, for errors.
    ///   - item: the tensor that the matrix comes from, for errors.
    /// - Throws: `CrayonError` for a NaN or an infinity, for more than 2^31 - 1 elements, and where LAPACK finds no end.
    public static func full(
        of matrix: Matrix, place: String = "SVD", item: String? = nil
    ) throws(CrayonError) -> SingularValueDecomposition {
        let norm = try MatrixNorm.squared(matrix, place: place, item: item)
        return try full(destroying: matrix.copy(), squaredNorm: norm, place: place, item: item)
    }

    /// The same without a copy: the matrix is overwritten. For one that is known to be finite.
    static func full(
        destroying matrix: Matrix, squaredNorm: Double, place: String, item: String?
    ) throws(CrayonError) -> SingularValueDecomposition {
        let (rows, columns) = (matrix.rows, matrix.columns)
        guard rows * columns <= Int(Int32.max) else {
            throw CrayonError(
                .unsupported, in: place, item: item, found: "\(rows) x \(columns) elements",
                expected: "at most \(Int32.max), which is what LAPACK counts to",
                advice: "Take the randomized decomposition.")
        }
        let count = min(rows, columns)
        guard count > 0, squaredNorm > 0 else {
            return SingularValueDecomposition(
                u: Matrix(rows: rows, columns: 0), values: [], v: Matrix(rows: columns, columns: 0),
                squaredNorm: squaredNorm)
        }
        // LAPACK reads by column and so sees the transpose, V S U^T: its U by column is V^T by row, its V^T is U.
        let vt = Matrix(rows: count, columns: columns)
        let u = Matrix(rows: rows, columns: count)
        var values = [Float](repeating: 0, count: count)
        let info = LAPACK.singularValues(
            m: columns, n: rows, a: matrix.pointer, s: &values, u: vt.pointer, vt: u.pointer)
        guard info == 0 else {
            throw CrayonError(
                .unsupported, in: place, item: item,
                found: "a matrix whose SVD does not converge (LAPACK info \(info))",
                advice: "Take the randomized decomposition.")
        }
        // Zero up to rounding is zero: the vectors beside it say nothing.
        let floor = (values.first ?? 0) * Float.ulpOfOne * Float(max(rows, columns)).squareRoot()
        let kept = values.firstIndex { $0 <= floor } ?? count
        return SingularValueDecomposition(u: u, values: values, v: vt.transposed(), squaredNorm: squaredNorm)
            .truncated(to: kept)
    }
}

extension Matrix {
    /// A transposed copy.
    public func transposed() -> Matrix {
        let target = Matrix(rows: columns, columns: rows)
        // Tiles of a few cache lines each way, on all cores.
        let size = 32
        Parallel.forEachRange(of: rows, size: size) { band in
            for start in stride(from: 0, to: columns, by: size) {
                for row in band {
                    for column in start..<min(start + size, columns) {
                        target.pointer[column * rows + row] = pointer[row * columns + column]
                    }
                }
            }
        }
        return target
    }
}

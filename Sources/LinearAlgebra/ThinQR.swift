public import Bytes
import Kernels
public import Tensors

/// `A = Q R` of a matrix with at least as many rows as columns, by Householder reflections.
public struct ThinQR: Sendable {
    /// `[rows, columns]`, orthonormal columns.
    public let q: Matrix
    /// `[columns, columns]`, upper triangular.
    public let r: Matrix

    /// - Throws: `CrayonError` for a NaN or an infinity, and for a matrix that is wider than high.
    public init(of matrix: Matrix, place: String = "QR", item: String? = nil) throws(CrayonError) {
        guard matrix.rows >= matrix.columns, matrix.count <= Int(Int32.max) else {
            throw CrayonError(
                .usage, in: place, item: item, found: "[\(matrix.rows), \(matrix.columns)]",
                expected: "at least as many rows as columns, and at most \(Int32.max) elements")
        }
        _ = try MatrixNorm.squared(matrix, place: place, item: item)
        // By column, the same memory is A^T = R^T Q^T.
        q = matrix.copy()
        r = Matrix(rows: matrix.columns, columns: matrix.columns)
        let info = LAPACK.lq(m: matrix.columns, n: matrix.rows, a: q.pointer, l: r.pointer)
        precondition(info == 0, "LAPACK refuses argument \(-info)")
    }
}

extension SingularValueDecomposition {
    /// That of `B A`, exact up to rounding, without the product: by the QR decompositions of B and of A^T.
    /// - Parameters:
    ///   - b: `[out, rank]`
    ///   - a: `[rank, in]`
    /// - Throws: `CrayonError` for a NaN or an infinity, and for halves that do not fit each other.
    public static func ofProduct(
        _ b: Matrix, _ a: Matrix, place: String = "SVD", item: String? = nil
    ) throws(CrayonError) -> SingularValueDecomposition {
        guard b.columns == a.rows else {
            throw CrayonError(
                .mismatch, in: place, item: item, found: "[\(b.rows), \(b.columns)] times [\(a.rows), \(a.columns)]",
                expected: "halves of one rank")
        }
        guard b.columns <= min(b.rows, a.columns) else {
            return try full(of: TallProduct.multiply(b, a), place: place, item: item)
        }
        let left = try ThinQR(of: b, place: place, item: item)
        let right = try ThinQR(of: a.transposed(), place: place, item: item)
        let core = try full(of: TallProduct.multiply(left.r, right.r.transposed()), place: place, item: item)
        return SingularValueDecomposition(
            u: TallProduct.multiply(left.q, core.u), values: core.values, v: TallProduct.multiply(right.q, core.v),
            squaredNorm: core.squaredNorm)
    }
}

import LinearAlgebra
import Tensors

/// Matrices whose singular values are known.
enum Matrices {
    static func random(_ rows: Int, _ columns: Int, seed: UInt64) -> Matrix {
        var generator = SplitMix64(seed: seed)
        return Matrix(
            rows: rows, columns: columns,
            // Four uniform numbers are near enough to a normal one.
            values: (0..<rows * columns).map { _ in
                Float((0..<4).reduce(-2.0) { sum, _ in sum + generator.uniform() } * 3.squareRoot())
            })
    }

    static func orthonormal(_ rows: Int, _ columns: Int, seed: UInt64) throws -> Matrix {
        try ThinQR(of: random(rows, columns, seed: seed)).q
    }

    /// `U diag(values) V^T` with U and V orthonormal, plus `noise` times a random matrix of unit variance.
    static func planted(_ rows: Int, _ columns: Int, values: [Float], noise: Float = 0, seed: UInt64) throws -> Matrix {
        let u = try orthonormal(rows, values.count, seed: seed)
        for row in 0..<rows {
            for (column, value) in values.enumerated() { u.pointer[row * values.count + column] *= value }
        }
        let v = try orthonormal(columns, values.count, seed: seed + 1)
        let product = TallProduct.multiply(u, v.transposed())
        guard noise > 0 else { return product }
        let random = random(rows, columns, seed: seed + 2)
        for index in 0..<product.count { product.pointer[index] += noise * random.pointer[index] }
        return product
    }

    /// `|A - U S V^T| / |A|`
    static func residual(_ a: Matrix, _ svd: SingularValueDecomposition) -> Double {
        let scaled = svd.u.copy()
        for row in 0..<scaled.rows {
            for (column, value) in svd.values.enumerated() { scaled.pointer[row * svd.count + column] *= value }
        }
        let product =
            svd.count == 0
            ? Matrix(rows: a.rows, columns: a.columns)
            : TallProduct.multiply(scaled, svd.v.transposed())
        var (error, total) = (0.0, 0.0)
        for index in 0..<a.count {
            let difference = Double(a.pointer[index]) - Double(product.pointer[index])
            error += difference * difference
            total += Double(a.pointer[index]) * Double(a.pointer[index])
        }
        return total > 0 ? (error / total).squareRoot() : 0
    }

    /// The largest entry of `Q^T Q - 1`.
    static func distanceFromOrthonormal(_ q: Matrix) -> Float {
        let product = TallProduct.multiply(transposed: q, q)
        var worst: Float = 0
        for row in 0..<product.rows {
            for column in 0..<product.columns {
                worst = max(
                    worst, (product.pointer[row * product.columns + column] - (row == column ? 1 : 0)).magnitude)
            }
        }
        return worst
    }
}

public import Tensors

/// `A = U diag(values) V^T`, whole or cut to the largest values.
///
/// Each pair of singular vectors has a sign of its own; it is chosen so that the entry of V's column with the largest
/// magnitude, the first of equals, is positive.
public struct SingularValueDecomposition: Sendable {
    /// `[rows, count]`, orthonormal columns.
    public let u: Matrix
    /// Descending, none negative.
    public let values: [Float]
    /// `[columns, count]`, orthonormal columns.
    public let v: Matrix
    /// The squared Frobenius norm of A: the sum of the squares of all its singular values, those cut off too.
    public let squaredNorm: Double

    /// - Precondition: U, values and V agree on how many there are.
    init(u: Matrix, values: [Float], v: Matrix, squaredNorm: Double) {
        precondition(u.columns == values.count && v.columns == values.count)
        self.u = u
        self.values = values
        self.v = v
        self.squaredNorm = squaredNorm
        for column in values.indices where Self.isNegative(v, column) {
            for matrix in [u, v] {
                for row in 0..<matrix.rows { matrix.pointer[row * matrix.columns + column].negate() }
            }
        }
    }

    public var count: Int { values.count }

    /// The share of the squared norm that the first values hold, 0 to 1; 1 for a matrix of zeros.
    public func energy(of count: Int) -> Double {
        guard squaredNorm > 0 else { return 1 }
        return min(1, values.prefix(count).reduce(0) { $0 + Double($1) * Double($1) } / squaredNorm)
    }

    /// The largest values alone.
    public func truncated(to count: Int) -> SingularValueDecomposition {
        guard count < values.count else { return self }
        return SingularValueDecomposition(
            u: Self.columns(u, count), values: Array(values.prefix(count)), v: Self.columns(v, count),
            squaredNorm: squaredNorm)
    }

    private static func columns(_ matrix: Matrix, _ count: Int) -> Matrix {
        let part = Matrix(rows: matrix.rows, columns: count)
        for row in 0..<matrix.rows {
            (part.pointer + row * count).update(from: matrix.pointer + row * matrix.columns, count: count)
        }
        return part
    }

    private static func isNegative(_ matrix: Matrix, _ column: Int) -> Bool {
        var largest: Float = 0
        for row in 0..<matrix.rows {
            let value = matrix.pointer[row * matrix.columns + column]
            if value.magnitude > largest.magnitude { largest = value }
        }
        return largest < 0
    }
}

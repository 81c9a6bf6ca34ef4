import COpenBLAS

/// Factorisations through the LAPACK in OpenBLAS, each on the calling thread alone.
///
/// Matrices lie by column, as LAPACK has them: a row-major matrix is the transpose of what it reads. Arguments are
/// overwritten as LAPACK says. Each returns LAPACK's `info`: 0, or how far it came before it gave up.
///
/// - Precondition (all): matrices have at most 2^31 - 1 elements, none of them NaN or infinite.
public enum LAPACK {
    /// `A = U S V^T` by divide and conquer.
    /// - Parameters:
    ///   - a: `m x n` by column; destroyed.
    ///   - s: `min(m, n)`, descending.
    ///   - u: `m x min(m, n)` by column.
    ///   - vt: `min(m, n) x n` by column.
    public static func singularValues(
        m: Int, n: Int, a: UnsafeMutablePointer<Float>, s: UnsafeMutablePointer<Float>, u: UnsafeMutablePointer<Float>,
        vt: UnsafeMutablePointer<Float>
    ) -> Int {
        let least = min(m, n)
        checkExtents(m, n)
        guard least > 0 else { return 0 }
        var info: Int32 = 0
        withExtents(m, n, least) { m, n, least in
            withUnsafeTemporaryAllocation(of: Int32.self, capacity: 8 * Int(least)) { integers in
                withWorkspace { work, length in
                    sgesdd_("S", &m, &n, a, &m, s, u, &m, vt, &least, work, &length, integers.baseAddress, &info, 1)
                }
            }
        }
        return Int(info)
    }

    /// `A = L Q` with the rows of Q orthonormal.
    /// - Parameters:
    ///   - a: `m x n` by column, `m <= n`; replaced by Q.
    ///   - l: `m x m` by column, lower triangular; zeros above the diagonal.
    public static func lq(
        m: Int, n: Int, a: UnsafeMutablePointer<Float>, l: UnsafeMutablePointer<Float>
    ) -> Int {
        precondition(m <= n)
        checkExtents(m, n)
        guard m > 0 else { return 0 }
        var info: Int32 = 0
        withUnsafeTemporaryAllocation(of: Float.self, capacity: m) { scalars in
            withExtents(m, n, m) { m, n, k in
                withWorkspace { work, length in
                    sgelqf_(&m, &n, a, &m, scalars.baseAddress, work, &length, &info)
                }
                for column in 0..<Int(m) {
                    for row in 0..<Int(m) {
                        l[column * Int(m) + row] = row >= column ? a[column * Int(m) + row] : 0
                    }
                }
                guard info == 0 else { return }
                withWorkspace { work, length in
                    sorglq_(&m, &n, &k, a, &m, scalars.baseAddress, work, &length, &info)
                }
            }
        }
        return Int(info)
    }

    /// Eigenvalues of a symmetric matrix, ascending, and its eigenvectors on request.
    /// - Parameter a: `n x n`; its eigenvectors by column (by row, for a row-major reader), or destroyed.
    public static func symmetricEigenvalues(
        n: Int, a: UnsafeMutablePointer<Double>, values: UnsafeMutablePointer<Double>, vectors: Bool
    ) -> Int {
        checkExtents(n, n)
        guard n > 0 else { return 0 }
        var info: Int32 = 0
        withExtents(n, n, n) { n, _, _ in
            let job = vectors ? "V" : "N"
            var size = 0.0
            var integerSize: Int32 = 0
            var query: Int32 = -1
            dsyevd_(job, "L", &n, a, &n, values, &size, &query, &integerSize, &query, &info, 1, 1)
            guard info == 0 else { return }
            withUnsafeTemporaryAllocation(of: Double.self, capacity: Int(size)) { work in
                withUnsafeTemporaryAllocation(of: Int32.self, capacity: Int(integerSize)) { integers in
                    var length = Int32(size)
                    dsyevd_(
                        job, "L", &n, a, &n, values, work.baseAddress, &length, integers.baseAddress, &integerSize,
                        &info, 1, 1)
                }
            }
        }
        return Int(info)
    }

    private static func checkExtents(_ m: Int, _ n: Int) {
        precondition(m >= 0 && n >= 0)
        precondition(m <= Int(Int32.max) && n <= Int(Int32.max) && m * n <= Int(Int32.max))
        _ = BLAS.prepared
    }

    private static func withExtents(
        _ m: Int, _ n: Int, _ k: Int, _ body: (inout Int32, inout Int32, inout Int32) -> Void
    ) {
        var (m, n, k) = (Int32(m), Int32(n), Int32(k))
        body(&m, &n, &k)
    }

    /// Asks the routine how much room it wants, then runs it. The answer comes as a float32, which may have been rounded
    /// down: one step up is enough.
    private static func withWorkspace(_ body: (UnsafeMutablePointer<Float>, inout Int32) -> Void) {
        var answer: Float = 0
        var length: Int32 = -1
        body(&answer, &length)
        let size = max(1, min(Int(answer.nextUp.rounded(.up)), Int(Int32.max)))
        length = Int32(size)
        withUnsafeTemporaryAllocation(of: Float.self, capacity: size) { work in
            guard let start = work.baseAddress else { return }
            body(start, &length)
        }
    }
}

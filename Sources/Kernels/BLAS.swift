import COpenBLAS

/// Dense matrix products through OpenBLAS, each on the calling thread alone.
///
/// Several threads may call at once. Callers split a large product into tiles whose sizes do not depend on the number
/// of threads; OpenBLAS sums a given tile in a fixed order, so results do not either.
public enum BLAS {
    static let prepared: Void = {
        // OpenBLAS's own threads would compete with ours, and would make sums depend on their number.
        copenblas_end_threads()
        switch KernelVariant.active {
        case .avx512, .avx512vnni: _ = copenblas_correct_core("SkylakeX")
        case .avx2: _ = copenblas_correct_core("Haswell")
        case .portable, .neon: break
        }
    }()

    /// Ends the threads that OpenBLAS starts when it is loaded, which keep a core busy for the first tenth of a second. Call it
    /// at start-up; the first product does it otherwise.
    public static func prepare() { _ = prepared }

    /// The processor whose kernels OpenBLAS uses, by its name for it.
    public static var coreName: String {
        _ = prepared
        return String(cString: openblas_get_corename())
    }

    /// `C = alpha op(A) op(B) + beta C`, row-major, `op(A)` of `[m, k]`, `op(B)` of `[k, n]`, C of `[m, n]`.
    ///
    /// - Parameters:
    ///   - transposeA: A is stored as `[k, m]`.
    ///   - transposeB: B is stored as `[n, k]`, as the weight of a linear layer is.
    ///   - lda: elements from one stored row of A to the next; `ldb` and `ldc` likewise.
    ///   - beta: 0 overwrites C, whatever it held.
    /// - Precondition: extents fit 32 bits; leading dimensions are at least the stored row's length.
    public static func gemm(
        transposeA: Bool = false, transposeB: Bool = false, m: Int, n: Int, k: Int, alpha: Float = 1,
        a: UnsafePointer<Float>, lda: Int, b: UnsafePointer<Float>, ldb: Int, beta: Float = 0,
        c: UnsafeMutablePointer<Float>, ldc: Int
    ) {
        precondition(m >= 0 && n >= 0 && k >= 0)
        precondition(lda >= max(1, transposeA ? m : k) && ldb >= max(1, transposeB ? k : n) && ldc >= max(1, n))
        guard m > 0, n > 0 else { return }
        _ = prepared
        cblas_sgemm(
            CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
            blasint(m), blasint(n), blasint(k), alpha, a, blasint(lda), b, blasint(ldb), beta, c, blasint(ldc))
    }

    /// The same in float64.
    public static func gemm(
        transposeA: Bool = false, transposeB: Bool = false, m: Int, n: Int, k: Int, alpha: Double = 1,
        a: UnsafePointer<Double>, lda: Int, b: UnsafePointer<Double>, ldb: Int, beta: Double = 0,
        c: UnsafeMutablePointer<Double>, ldc: Int
    ) {
        precondition(m >= 0 && n >= 0 && k >= 0)
        precondition(lda >= max(1, transposeA ? m : k) && ldb >= max(1, transposeB ? k : n) && ldc >= max(1, n))
        guard m > 0, n > 0 else { return }
        _ = prepared
        cblas_dgemm(
            CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
            blasint(m), blasint(n), blasint(k), alpha, a, blasint(lda), b, blasint(ldb), beta, c, blasint(ldc))
    }
}

import Kernels
import Testing

@Suite struct BLASTests {
    struct Shape: Sendable { var m, n, k: Int }

    static func product(
        _ shape: Shape, transposeA: Bool, transposeB: Bool, alpha: Float, beta: Float, seed: UInt64
    ) -> Double {
        var generator = SeededGenerator(seed: seed)
        let (m, n, k) = (shape.m, shape.n, shape.k)
        let lda = (transposeA ? m : k) + 3
        let ldb = (transposeB ? k : n) + 1
        let ldc = n + 2
        let a = generator.floats((transposeA ? k : m) * lda)
        let b = generator.floats((transposeB ? n : k) * ldb)
        let before = generator.floats(m * ldc)
        var c = before
        BLAS.gemm(
            transposeA: transposeA, transposeB: transposeB, m: m, n: n, k: k, alpha: alpha, a: a, lda: lda, b: b,
            ldb: ldb, beta: beta, c: &c, ldc: ldc)
        var worst = 0.0
        for i in 0..<m {
            for j in 0..<ldc {
                var exact = j < n ? Double(beta) * Double(before[i * ldc + j]) : Double(before[i * ldc + j])
                var magnitude = exact.magnitude
                if j < n {
                    for l in 0..<k {
                        let left = transposeA ? a[l * lda + i] : a[i * lda + l]
                        let right = transposeB ? b[j * ldb + l] : b[l * ldb + j]
                        let term = Double(alpha) * Double(left) * Double(right)
                        exact += term
                        magnitude += term.magnitude
                    }
                }
                worst = max(worst, (Double(c[i * ldc + j]) - exact).magnitude / max(magnitude, 1e-30))
            }
        }
        return worst
    }

    @Test(arguments: [Shape(m: 1, n: 1, k: 1), Shape(m: 5, n: 7, k: 3), Shape(m: 64, n: 33, k: 129)])
    func againstPlainLoops(shape: Shape) {
        for (transposeA, transposeB) in [(false, false), (false, true), (true, false), (true, true)] {
            for (alpha, beta) in [(Float(1), Float(0)), (0.5, 1), (-2, 0.25)] {
                #expect(
                    Self.product(
                        shape, transposeA: transposeA, transposeB: transposeB, alpha: alpha, beta: beta, seed: 1)
                        < 3e-7)
            }
        }
    }

    /// OpenBLAS keeps buffers of its own; products on many threads at once must not meet in them.
    @Test func manyThreadsAtOnce() {
        let saved = Parallel.threadCount
        defer { Parallel.threadCount = saved }
        Parallel.threadCount = 8
        var worst = [Double](repeating: 0, count: 96)
        worst.withUnsafeMutableBufferPointer { worst in
            Parallel.forEach(count: worst.count) { index in
                let shape = Shape(m: 20 + index % 7 * 13, n: 30 + index % 5 * 17, k: 40 + index % 11 * 29)
                worst[index] = Self.product(
                    shape, transposeA: index % 2 == 0, transposeB: index % 3 == 0, alpha: 1, beta: 1,
                    seed: UInt64(index))
            }
        }
        #expect(worst.max()! < 3e-7)
    }

    @Test func nothingToDo() {
        var c: [Float] = [3]
        let one: [Float] = [1]
        BLAS.gemm(m: 0, n: 1, k: 1, a: one, lda: 1, b: one, ldb: 1, c: &c, ldc: 1)
        #expect(c == [3])
        BLAS.gemm(m: 1, n: 1, k: 0, a: one, lda: 1, b: one, ldb: 1, c: &c, ldc: 1)
        #expect(c == [0])
    }
}

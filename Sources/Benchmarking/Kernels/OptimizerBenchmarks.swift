import Bytes
import Kernels
import Tensors

/// One update of AdamW with moments in float32.
enum OptimizerBenchmarks {
    static let all = [adamW]

    private static let adamW = Benchmark(
        "adamw", .kernels, "one update with moments in float32"
    ) { () throws(CrayonError) in
        let count = 1 << 24
        let parameters = RandomWeights.matrix(rows: 1, columns: count, seed: 1)
        let gradient = RandomWeights.matrix(rows: 1, columns: count, seed: 2)
        let (first, second) = (Matrix(rows: 1, columns: count), Matrix(rows: 1, columns: count))
        let kernel = AdamWKernel(
            form: .torch, gradientScale: 1, decay: 1, beta1: 0.9, beta2: 0.999, root: 1, epsilon: 1e-8, step: -1e-4)
        // Four vectors are read, three written.
        return Benchmark.Prepared(
            "\(count) parameters", amount: Double(count), unit: .parameters,
            floor: Floor([.memoryCopy: Double(7 * 4 * count)])
        ) { () throws(CrayonError) in
            Parallel.forEachRange(of: count, size: 1 << 16) { range in
                let at = range.lowerBound
                kernel.update(
                    parameters.pointer + at, gradient: gradient.pointer + at, m: first.pointer + at,
                    v: second.pointer + at, count: range.count)
            }
        }
    }
}

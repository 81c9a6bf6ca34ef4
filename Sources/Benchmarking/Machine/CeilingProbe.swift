import Kernels
import Tensors

/// Uses up one resource and nothing else, over and over: what ceilings are measured with, at the start of a run and between the
/// runs of a benchmark.
public final class CeilingProbe {
    /// Resources that a probe can use up at any time; the disk is measured apart.
    public static let resources: [Resource] = [.memoryRead, .memoryCopy, .products]

    private static let (rows, columns, depth) = (512, 4096, 2048)

    private lazy var source = LargeBuffer()
    private lazy var target = LargeBuffer()
    private lazy var x = RandomWeights.matrix(rows: Self.rows, columns: Self.depth, seed: 1)
    private lazy var weight = RandomWeights.matrix(rows: Self.columns, columns: Self.depth, seed: 2)
    private lazy var y = Matrix(rows: Self.rows, columns: Self.columns)
    /// Outputs that a thread computes at a time: whichever is fastest here.
    private lazy var tile = fastestTile()
    private var sum: UInt64 = 0

    public init() {}

    /// Bytes or operations of one pass.
    /// - Precondition: one of `resources`.
    func amount(of resource: Resource) -> Double {
        switch resource {
        case .memoryRead: Double(source.count)
        case .memoryCopy: Double(2 * min(source.count, target.count))
        case .products: Double(2 * Self.rows * Self.columns * Self.depth)
        case .diskRead, .diskWrite: preconditionFailure("the disk is no matter of memory")
        }
    }

    /// Seconds of a pass on `Parallel.threadCount` threads.
    func pass(_ resource: Resource) -> Double {
        switch resource {
        case .memoryRead:
            let source = source
            return Stopwatch.seconds { sum &+= source.read() }
        case .memoryCopy:
            let (source, target) = (source, target)
            return Stopwatch.seconds { target.copy(from: source) }
        case .products:
            let tile = tile
            return Stopwatch.seconds { multiply(tile: tile) }
        case .diskRead, .diskWrite: preconditionFailure("the disk is no matter of memory")
        }
    }

    /// The best of several passes on each of some numbers of threads, which take turns: bytes or operations a second.
    public func rates(of resource: Resource, threads: [Int], plan: TimingPlan) -> [Double] {
        let before = Parallel.threadCount
        defer { Parallel.threadCount = before }
        return BenchmarkRunner.alternate(threads.count, plan: plan) { turn in
            Parallel.threadCount = threads[turn]
            return pass(resource)
        }.map { amount(of: resource) / ($0.min() ?? .infinity) }
    }

    /// OpenBLAS on each of our threads.
    private func multiply(tile: Int) {
        let (x, weight, y) = (x, weight, y)
        Parallel.forEachRange(of: Self.columns, size: tile) { range in
            BLAS.gemm(
                transposeB: true, m: Self.rows, n: range.count, k: Self.depth, a: x.pointer, lda: Self.depth,
                b: weight.pointer + range.lowerBound * Self.depth, ldb: Self.depth, c: y.pointer + range.lowerBound,
                ldc: Self.columns)
        }
    }

    private func fastestTile() -> Int {
        multiply(tile: 256)
        let tiles = [128, 256, 512, 1024]
        let samples = BenchmarkRunner.alternate(tiles.count, plan: .quick) { turn in
            Stopwatch.seconds { multiply(tile: tiles[turn]) }
        }
        let best = samples.map { $0.min() ?? .infinity }
        return zip(tiles, best).min { $0.1 < $1.1 }?.0 ?? 256
    }
}

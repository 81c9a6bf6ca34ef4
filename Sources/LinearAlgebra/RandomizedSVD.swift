public import Bytes
import Kernels
public import Tensors

/// How many singular values are wanted.
public enum SpectrumTarget: Sendable, Hashable {
    /// So many, or as many as there are.
    case count(Int)
    /// As many as hold this share of the squared norm, 0 to 1.
    case energy(Double)
    /// Those above the largest divided by this.
    case ratio(Double)

    /// How many of the leading values are wanted, and whether the values given suffice to say so.
    /// - Parameter squares: of the values, descending.
    func wanted(of squares: [Double], squaredNorm: Double) -> (count: Int, isCertain: Bool) {
        switch self {
        case .count(let count): return (min(count, squares.count), count <= squares.count)
        case .energy(let share):
            var sum = 0.0
            for (index, square) in squares.enumerated() {
                if sum >= share * squaredNorm { return (index, true) }
                sum += square
            }
            return (squares.count, sum >= share * squaredNorm * (1 - 1e-9))
        case .ratio(let ratio):
            let limit = (squares.first ?? 0) / (ratio * ratio)
            let count = squares.firstIndex { $0 <= limit }
            return (count ?? squares.count, count != nil)
        }
    }
}

/// The settings of a randomised decomposition.
public struct RandomizedSVDOptions: Sendable {
    public var target: SpectrumTarget
    /// Draws the first block; the same seed gives the same bits, whatever the number of threads.
    public var seed: UInt64
    /// Singular values up to this one are noise: none is returned, and none is waited for.
    public var floor: Double
    /// No more values than this are returned, whatever the target wants.
    public var limit: Int
    /// The residual has settled when a step of 16 dimensions lessens it by less than this share.
    public var tolerance: Double

    public init(
        target: SpectrumTarget, seed: UInt64 = 0, floor: Double = 0, limit: Int = .max, tolerance: Double = 5e-5
    ) {
        self.target = target
        self.seed = seed
        self.floor = floor
        self.limit = limit
        self.tolerance = tolerance
    }
}

extension SingularValueDecomposition {
    /// The largest singular values by a block Krylov space of random start, of the dimension that it takes.
    ///
    /// The space grows until the residual of what is wanted has settled, or its dimension is about three times the count
    /// wanted; by then the residual is below that of `torch.svd_lowrank` with four iterations. Where most of the
    /// spectrum is wanted, or the matrix is small, this is the full decomposition. Up to a smaller side of 768, of which LAPACK
    /// makes short work, the space grows until it has settled in any case, and the full decomposition stands in for a space of
    /// three fifths of the matrix: a flat spectrum, noise for instance, comes out as from LAPACK.
    ///
    /// - Throws: `CrayonError` for a NaN or an infinity.
    public static func randomized(
        of matrix: Matrix, options: RandomizedSVDOptions, place: String = "SVD", item: String? = nil
    ) throws(CrayonError) -> SingularValueDecomposition {
        let norm = try MatrixNorm.squared(matrix, place: place, item: item)
        let least = min(matrix.rows, matrix.columns)
        let largest = least * 3 / 5
        var panels = 1
        var expected = KrylovProgress.largestStepCount * PanelProduct.width
        if case .count(let count) = options.target {
            panels = max(1, (min(count, options.limit, least) + 63) / 64)
            expected *= panels
        }
        if least <= 256 || (panels > 1 && expected > largest) {
            return try full(of: matrix, squaredNorm: norm, options: options, place: place, item: item)
        }
        guard norm > 0 else {
            return SingularValueDecomposition(
                u: Matrix(rows: matrix.rows, columns: 0), values: [], v: Matrix(rows: matrix.columns, columns: 0),
                squaredNorm: 0)
        }
        let space = BlockKrylov(
            matrix, squaredNorm: norm, panels: panels, dimension: min(expected, largest), seed: options.seed)
        var progress = KrylovProgress(
            options: options, squaredNorm: norm, step: space.step, hasEnd: least > settledSide)
        while true {
            guard space.dimension + space.step <= largest else {
                return try full(of: matrix, squaredNorm: norm, options: options, place: place, item: item)
            }
            space.extend(isLast: progress.isLast(after: space.dimension))
            guard progress.isDue(at: space.dimension) else { continue }
            if let count = progress.settledCount(space.squaredValues(), dimension: space.dimension) {
                return space.decomposition(count: count)
            }
        }
    }

    /// Up to this smaller side the full decomposition takes less than half a second.
    private static let settledSide = 768

    private static func full(
        of matrix: Matrix, squaredNorm: Double, options: RandomizedSVDOptions, place: String, item: String?
    ) throws(CrayonError) -> SingularValueDecomposition {
        try full(destroying: matrix.copy(), squaredNorm: squaredNorm, place: place, item: item).cut(to: options)
    }

    /// What the options want of a full decomposition.
    public func cut(to options: RandomizedSVDOptions) -> SingularValueDecomposition {
        let squares = values.map { Double($0) * Double($0) }
        let wanted = options.target.wanted(of: squares, squaredNorm: squaredNorm).count
        let above = squares.firstIndex { $0 <= options.floor * options.floor } ?? values.count
        return truncated(to: min(wanted, above, options.limit))
    }
}

/// When a growing Krylov space is looked at, and when it is large enough.
struct KrylovProgress {
    /// Dimensions beyond the count wanted before anything is believed.
    private static let oversampling = 8
    /// Blocks after which a known count is taken as it is, unless the last ones brought much.
    static let largestStepCount = 12
    /// Blocks after which it is taken in any case.
    private static let utmostStepCount = 20
    /// A share of the residual that is much for a step: a flat spectrum, which has no end, gives less by then.
    private static let muchPerStep = 0.0015

    private let options: RandomizedSVDOptions
    private let squaredNorm: Double
    private let step: Int
    private var next: Int
    private var lastCount = -1
    private var lastResidual = Double.infinity
    private var lastDimension = 0
    private var largestDimension: Int
    private let tolerance: Double

    /// - Parameter hasEnd: whether a residual that does not settle is taken as it is in the end. A small matrix can do without:
    ///   its space grows until it has settled, and in the worst case all of it is decomposed.
    init(options: RandomizedSVDOptions, squaredNorm: Double, step: Int, hasEnd: Bool) {
        self.options = options
        // Where the spectrum is flat, what many steps would still bring adds up to a few times what the last one brought.
        tolerance = hasEnd ? options.tolerance : options.tolerance / 4
        self.squaredNorm = squaredNorm
        self.step = step
        largestDimension = hasEnd ? Self.largestStepCount * step : .max
        next = 3 * step
        if case .count(let count) = options.target {
            next = max(next, (min(count, options.limit) + Self.oversampling + step - 1) / step * step)
        }
    }

    /// Whether the space will do after one more step, whatever it finds.
    func isLast(after dimension: Int) -> Bool {
        guard case .count = options.target else { return false }
        return dimension + step >= largestDimension
    }

    /// The eigenvalues of a large space cost more than a step, so they are looked at ever less often.
    func isDue(at dimension: Int) -> Bool { dimension >= next || isLast(after: dimension - step) }

    /// How many values to take, or nil where the space should grow.
    ///
    /// A single step may bring nothing although much is missing: where many singular values are equal, blocks
    /// that find new ones take turns with blocks that do not. So two steps at least lie between two looks.
    mutating func settledCount(_ squares: [Double], dimension: Int) -> Int? {
        next = dimension + max(2, dimension / 8 / step) * step
        let noise = options.floor * options.floor
        var (count, isCertain) = options.target.wanted(of: squares, squaredNorm: squaredNorm)
        if count > options.limit { (count, isCertain) = (options.limit, true) }
        let above = squares.firstIndex { $0 <= noise } ?? squares.count
        if above < count || above + Self.oversampling <= squares.count && above <= count {
            (count, isCertain) = (min(count, above), true)
        }
        // What is noise, or not wanted, need not be found to the last digit.
        let signal = squares.prefix(count).reduce(0) { $0 + max(0, $1 - noise) }
        let residual = max(0, squaredNorm - signal).squareRoot()
        let gain = lastResidual - residual
        let steps = Double(max(1, (dimension - lastDimension) / step))
        let isSame = count == lastCount
        (lastCount, lastResidual, lastDimension) = (count, residual, dimension)
        guard isCertain, dimension >= count + Self.oversampling || dimension >= squares.count else { return nil }
        if dimension > largestDimension - 2 * step, gain > Self.muchPerStep * steps * residual,
            largestDimension < Self.utmostStepCount * step
        {
            largestDimension += 2 * step
        }
        let isExhausted = residual <= 3e-5 * squaredNorm.squareRoot()
        let isSettled = isSame && gain <= tolerance * steps * residual
        // A count that the target leaves open must have stood still too.
        let isLarge = dimension >= max(largestDimension, count * 3)
        if isExhausted || isSettled { return count }
        if case .count = options.target, isLarge { return count }
        return isLarge && isSame ? count : nil
    }
}

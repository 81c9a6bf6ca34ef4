import Architecture
public import Bytes
import Kernels
import Tensors

/// Two adapters' deltas against each other, module by module.
///
/// With D = s B A, the inner product of two deltas is the sum over s s' (A A'^T) * (B^T B'), products of the ranks' size: no
/// delta is ever formed. Sums are in float64, so that a difference of 1e-7 of the norm still shows.
public struct AdapterComparison: Codable, Sendable {
    public var first: String
    public var second: String
    public var modules: [Module]
    /// Modules with a pair in one of the two only, and the norm of its delta.
    public var onlyInFirst: [Single]
    public var onlyInSecond: [Single]
    /// Over all modules, a pair that is not there counting as zero.
    public var total: Measures
    /// What deltas do not show: magnitudes, biases and whole weights that the two do not share bit by bit.
    public var otherDifferences: [String]

    public struct Measures: Codable, Sendable, Equatable {
        /// Frobenius norms.
        public var firstNorm: Double
        public var secondNorm: Double
        /// 0 where one of the norms is.
        public var cosine: Double
        /// Norm of the difference over the first norm; 0 where both are, infinite where the first alone is.
        public var relativeDifference: Double

        init(squares: (Double, Double), product: Double) {
            firstNorm = squares.0.squareRoot()
            secondNorm = squares.1.squareRoot()
            let norms = firstNorm * secondNorm
            cosine = norms > 0 ? max(-1, min(1, product / norms)) : 0
            let difference = max(0, squares.0 + squares.1 - 2 * product).squareRoot()
            relativeDifference = difference == 0 ? 0 : difference / firstNorm
        }
    }

    public struct Module: Codable, Sendable {
        public var path: String
        public var firstRank: Int
        public var secondRank: Int
        public var measures: Measures
    }

    public struct Single: Codable, Sendable {
        public var path: String
        public var norm: Double
    }

    /// - Throws: `CrayonError` for pairs of one module that do not have one shape, for adapters that act in different places,
    ///   and for damaged tensors.
    public init(_ first: Adapter, _ second: Adapter) throws(CrayonError) {
        guard first.scope == second.scope, first.input == second.input else {
            throw CrayonError(
                .mismatch, in: second.place, item: "set '\(second.name)'",
                found: "pairs at \(second.scope.rawValue) positions on \(second.input.rawValue)",
                expected: "\(first.scope.rawValue) positions on \(first.input.rawValue), as '\(first.name)' has them")
        }
        self.first = first.place
        self.second = second.place
        let others = Dictionary(second.modules.map { ($0.path, $0) }) { left, _ in left }
        let shared = first.modules.filter { others[$0.path] != nil }
        let paths = Set(shared.map(\.path))
        let alone = first.modules.filter { !paths.contains($0.path) }
        let strange = second.modules.filter { !paths.contains($0.path) }
        for module in shared {
            guard let other = others[module.path] else { continue }
            guard module.weightShape == other.weightShape, module.kind == other.kind,
                module.isTransposed == other.isTransposed
            else {
                throw CrayonError(
                    .mismatch, in: second.place, item: "module '\(module.path)'",
                    found: "a pair for a weight of \(other.weightShape)",
                    expected: "\(module.weightShape), as in \(first.place)", advice: "They belong to different bases.")
            }
        }
        var sums = [(first: Double, second: Double, product: Double)](repeating: (0, 0, 0), count: shared.count)
        try sums.withUnsafeMutableBufferPointer { (sums) throws(CrayonError) in
            nonisolated(unsafe) let sums = sums
            try Parallel.forEach(count: shared.count) { (index) throws(CrayonError) in
                guard let other = others[shared[index].path] else { return }
                let a = try PairFactors(shared[index])
                let b = try PairFactors(other)
                sums[index] = (a.product(a), b.product(b), a.product(b))
            }
        }
        modules = zip(shared, sums).map { module, sums in
            Module(
                path: module.path, firstRank: module.rank, secondRank: others[module.path]?.rank ?? 0,
                measures: Measures(squares: (sums.first, sums.second), product: sums.product))
        }
        onlyInFirst = try Self.singles(alone)
        onlyInSecond = try Self.singles(strange)
        let squares = (
            sums.reduce(0) { $0 + $1.first } + onlyInFirst.reduce(0) { $0 + $1.norm * $1.norm },
            sums.reduce(0) { $0 + $1.second } + onlyInSecond.reduce(0) { $0 + $1.norm * $1.norm }
        )
        total = Measures(squares: squares, product: sums.reduce(0) { $0 + $1.product })
        otherDifferences = Self.others(first, second)
    }

    private static func singles(_ modules: [AdapterModule]) throws(CrayonError) -> [Single] {
        var singles: [Single] = []
        for module in modules {
            let factors = try PairFactors(module)
            singles.append(Single(path: module.path, norm: factors.product(factors).squareRoot()))
        }
        return singles
    }

    private static func others(_ first: Adapter, _ second: Adapter) -> [String] {
        func vectors(_ adapter: Adapter) -> [String: Tensor] {
            var found: [String: Tensor] = [:]
            for module in adapter.modules {
                if let magnitude = module.magnitude { found["magnitude of \(module.path)"] = magnitude }
                if let bias = module.bias { found["bias of the pair of \(module.path)"] = bias }
            }
            for replacement in adapter.replacements { found[replacement.name] = replacement.tensor }
            return found
        }
        let left = vectors(first)
        let right = vectors(second)
        return Set(left.keys).union(right.keys).filter { name in
            guard let a = left[name], let b = right[name] else { return true }
            return a.type != b.type || a.shape != b.shape || !a.region.buffer.elementsEqual(b.region.buffer)
        }.sorted(by: ModuleOrder.precedes)
    }
}

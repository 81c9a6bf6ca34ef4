public import Bytes
import Tensors

/// Data sets gone through at once, each for its share.
public struct DataMixture: Sendable {
    public let datasets: [any Dataset]
    /// Of all examples, how many come from each; 1 in sum.
    public let shares: [Double]
    /// Examples of one epoch: each data set's once where no weights are given; else as many as take the first data set
    /// through once.
    public let examplesPerEpoch: Int

    /// - Parameter weights: in proportion to what examples of each data set are drawn; nil for as many as each has.
    /// - Throws: `CrayonError` for no data sets, and for weights that are no proportion.
    public init(_ datasets: [any Dataset], weights: [Double]? = nil) throws(CrayonError) {
        guard !datasets.isEmpty else {
            throw CrayonError(.usage, in: "data", found: "no data set", expected: "at least one")
        }
        for dataset in datasets where dataset.count < 1 { throw .noRecords(in: dataset.name) }
        if let weights {
            guard weights.count == datasets.count, weights.allSatisfy({ $0 > 0 && $0.isFinite }) else {
                throw CrayonError(
                    .usage, in: "data", found: "weights \(weights)",
                    expected: "a number above 0 for each of \(datasets.count) data sets")
            }
        }
        let weights = weights ?? datasets.map { Double($0.count) }
        let total = weights.reduce(0, +)
        self.datasets = datasets
        shares = weights.map { $0 / total }
        let counts = datasets.map(\.count)
        examplesPerEpoch =
            weights == counts.map(Double.init)
            ? counts.reduce(0, +) : max(1, Int(min((Double(counts[0]) / shares[0]).rounded(), 1e15)))
    }

    public init(_ dataset: any Dataset) throws(CrayonError) { try self.init([dataset]) }
}

/// Which example comes next: the data set that lags most behind its share, and of it the next of an order that each
/// epoch shuffles anew.
struct DataOrder: Sendable {
    struct Item: Sendable, Equatable {
        var dataset: Int
        var epoch: Int
        var index: Int
    }

    private let counts: [Int]
    private let shares: [Double]
    private let seed: UInt64
    /// Examples drawn so far of each data set: all that there is to know of where the order stands.
    private(set) var drawn: [Int]
    /// The shuffled order of each data set, with the epoch that it is for.
    private var orders: [(epoch: Int, order: [UInt32])]

    init(_ mixture: DataMixture, seed: UInt64, drawn: [Int]? = nil) {
        counts = mixture.datasets.map(\.count)
        shares = mixture.shares
        self.seed = seed
        self.drawn = drawn ?? Array(repeating: 0, count: counts.count)
        orders = Array(repeating: (-1, []), count: counts.count)
    }

    var total: Int { drawn.reduce(0, +) }

    mutating func next() -> Item {
        let after = Double(total + 1)
        var chosen = 0
        var most = -Double.infinity
        for (dataset, share) in shares.enumerated() {
            let lag = share * after - Double(drawn[dataset])
            if lag > most { (chosen, most) = (dataset, lag) }
        }
        let (epoch, place) = drawn[chosen].quotientAndRemainder(dividingBy: counts[chosen])
        if orders[chosen].epoch != epoch {
            var generator = SplitMix64(seed: seed, name: "order \(chosen) \(epoch)")
            orders[chosen] = (epoch, generator.permutation(of: counts[chosen]))
        }
        drawn[chosen] += 1
        return Item(dataset: chosen, epoch: epoch, index: Int(orders[chosen].order[place]))
    }
}

extension SplitMix64 {
    /// Uniform in `0..<count`.
    /// - Precondition: `count` is positive.
    public mutating func index(below count: Int) -> Int {
        precondition(count > 0)
        return min(Int(uniform() * Double(count)), count - 1)
    }

    /// An index, each in proportion to its weight.
    /// - Precondition: weights from 0, one of them above.
    public mutating func index(weights: [Double]) -> Int {
        let total = weights.reduce(0, +)
        precondition(total > 0)
        var rest = uniform() * total
        for (index, weight) in weights.enumerated() {
            if rest < weight { return index }
            rest -= weight
        }
        return weights.lastIndex { $0 > 0 } ?? 0
    }

    /// `0..<count` in an order in which each is as likely as any other (Fisher and Yates).
    public mutating func permutation(of count: Int) -> [UInt32] {
        var order = [UInt32](0..<UInt32(count))
        for last in stride(from: count - 1, to: 0, by: -1) { order.swapAt(last, index(below: last + 1)) }
        return order
    }
}

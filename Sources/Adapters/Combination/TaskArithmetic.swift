import Tensors

/// Sums of several adapters' numbers, in float32 and in PEFT's order, so that the results are PEFT's to the bit.
struct TaskArithmetic {
    let method: CombinationMethod
    let options: CombinationOptions

    /// - Parameters:
    ///   - tensors: of one shape; at least one.
    ///   - weights: one for each.
    ///   - name: what the random masks are drawn for.
    func combine(_ tensors: consuming [FactorNumbers], weights: [Float], name: String) -> FactorNumbers {
        // In place: deltas are as large as the weights beside them.
        var pruned = tensors
        for index in pruned.indices { prune(&pruned[index], name: "\(name).\(index)") }
        var sum = [Float](repeating: 0, count: pruned[0].values.count)
        guard method.electsSigns else {
            for (tensor, weight) in zip(pruned, weights) {
                for index in sum.indices { sum[index] += tensor.values[index] * weight }
            }
            return FactorNumbers(rows: pruned[0].rows, columns: pruned[0].columns, values: sum)
        }
        let positive = majority(pruned)
        var counts = [Float](repeating: 0, count: sum.count)
        for (tensor, weight) in zip(pruned, weights) {
            for index in sum.indices {
                let value = tensor.values[index]
                // A zero has no sign and agrees with nobody.
                if positive[index] ? value > 0 : value < 0 {
                    sum[index] += value * weight
                    counts[index] += 1
                }
            }
        }
        for index in sum.indices { sum[index] /= max(counts[index], 1) }
        return FactorNumbers(rows: pruned[0].rows, columns: pruned[0].columns, values: sum)
    }

    /// Whether the majority at each place is positive; a tie counts so.
    private func majority(_ tensors: [FactorNumbers]) -> [Bool] {
        var sums = [Float](repeating: 0, count: tensors[0].values.count)
        for tensor in tensors {
            for index in sums.indices {
                let value = tensor.values[index]
                switch options.majoritySign {
                case .total: sums[index] += value
                case .frequency: sums[index] += value > 0 ? 1 : value < 0 ? -1 : 0
                }
            }
        }
        return sums.map { $0 >= 0 }
    }

    private func prune(_ tensor: inout FactorNumbers, name: String) {
        guard let density = options.density, density < 1 else { return }
        switch method.pruning {
        case .none: return
        case .magnitude:
            let kept = MagnitudeMask(tensor.values, keeping: Int(density * Double(tensor.values.count)))
            kept.apply(to: &tensor.values)
        case .random:
            var generator = SplitMix64(seed: options.seed, name: name)
            let divisor = Float(density)
            for index in tensor.values.indices {
                tensor.values[index] = generator.uniform() < density ? tensor.values[index] / divisor : 0
            }
        }
    }
}

/// The largest of some numbers by magnitude, found without sorting.
struct MagnitudeMask {
    /// Bits of the smallest magnitude that is kept.
    private let threshold: UInt32
    /// How many of those that are just as large are kept, the first ones.
    private let ties: Int

    /// - Precondition: no NaN among the values.
    init(_ values: [Float], keeping count: Int) {
        guard count > 0 else {
            threshold = .max
            ties = 0
            return
        }
        // Magnitudes order as their bits do: the upper half of the bits first, then the lower half among those that share it.
        var left = min(count, values.count)
        let (upper, above) = Self.bucket(values, holding: left) { UInt16($0 >> 16) }
        left -= above
        let (lower, more) = Self.bucket(values, holding: left) { $0 >> 16 == UInt32(upper) ? UInt16($0 & 0xFFFF) : nil }
        threshold = UInt32(upper) << 16 | UInt32(lower)
        ties = left - more
    }

    func apply(to values: inout [Float]) {
        var left = ties
        for index in values.indices {
            let bits = values[index].magnitude.bitPattern
            if bits > threshold { continue }
            if bits == threshold, left > 0 {
                left -= 1
            } else {
                // The mask is multiplied with, so a sign stays.
                values[index] *= 0
            }
        }
    }

    /// The bucket in which the `count`-th largest lies, and how many lie above it.
    private static func bucket(
        _ values: [Float], holding count: Int, _ key: (UInt32) -> UInt16?
    ) -> (bucket: UInt16, above: Int) {
        var histogram = [Int](repeating: 0, count: 1 << 16)
        for value in values { if let key = key(value.magnitude.bitPattern) { histogram[Int(key)] += 1 } }
        var above = 0
        for index in histogram.indices.reversed() {
            if above + histogram[index] >= count { return (UInt16(index), above) }
            above += histogram[index]
        }
        return (0, above)
    }
}

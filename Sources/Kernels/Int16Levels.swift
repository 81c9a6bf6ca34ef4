#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The levels of a quantized weight as integers: level = `values[code] * unit`, rounded.
public struct Int16Levels: Sendable, Equatable {
    /// `[16]` or `[256]`
    public let values: [Int16]
    public let unit: Float
    /// The largest magnitude.
    public let largest: Int32

    /// Integers as large as pays off: larger ones lie nearer to the levels, but leave the other factor fewer bits before a
    /// sum of 64 products might not fit. Some sizes happen to suit the levels better than others (of the dynamic map's, which are
    /// decimal fractions, some make the two largest powers of ten exact): all are tried.
    /// - Parameter map: 16 levels, each of which counts the same, as NF4's are chosen for; or 256, which count as many normal
    ///   weights as are nearest to them.
    /// - Returns: nil for levels that are not finite, or all 0.
    public init?(_ map: [Float]) {
        let most = map.reduce(0) { max($0, abs($1)) }
        guard map.count == 16 || map.count == 256, map.allSatisfy(\.isFinite), most > 0 else { return nil }
        let shares =
            map.count == 16 ? [Double](repeating: 1, count: 16) : Int16Levels.normalShares(map.map { $0 / most })
        var best = (error: Double.infinity, size: 0.0)
        let energy = zip(map, shares).reduce(0) { $0 + pow2(Double($1.0 / most)) * $1.1 }
        for size in stride(from: 2048.0, through: 16384.0, by: 1) {
            let levels = zip(map, shares).reduce(0) { sum, level in
                let wide = Double(level.0 / most) * size
                return sum + pow2(wide - wide.rounded()) * level.1
            }
            // A block of normal values with as large a sum as fits: its root mean square is 1.25 of its mean.
            let other = 1.25 * Double(Int32.max) / size / Double(Int16Product.blockSize)
            let error = levels / (energy * pow2(size)) + 1 / (12 * pow2(other))
            if error < best.error { best = (error, size) }
        }
        guard best.size > 0 else { return nil }
        values = map.map { Int16((Double($0 / most) * best.size).rounded()) }
        unit = Float(Double(most) / best.size)
        largest = values.reduce(0) { max($0, abs(Int32($1))) }
    }

    /// How many of normal weights lie nearest to each level, where 1 is the largest of a block of 256, which is 2.8 standard
    /// deviations.
    private static func normalShares(_ map: [Float]) -> [Double] {
        map.indices.map { index in
            let (below, above) = (map[max(index - 1, 0)], map[min(index + 1, map.count - 1)])
            return Double(abs(above - below)) * exp(-0.5 * pow2(2.8 * Double(map[index])))
        }
    }

    /// Of NF4.
    public static let nf4 = Int16Levels(NF4Kernel.map)
    /// Of the signed 8-bit dynamic map.
    public static let dynamic8 = Int16Levels(Dynamic8Kernel.map)
}

private func pow2(_ value: Double) -> Double { value * value }

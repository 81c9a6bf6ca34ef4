import Architecture
import Foundation
import Tensors

/// Gaussian numbers in bfloat16, fast enough that the disk sets the pace.
///
/// A number is one of the 65,536 quantiles (i + 1/2) / 65,536 of a normal distribution, chosen by 16 random bits.
/// That gives the mean, the deviation and every exponent of bfloat16 in its right share down to 2^-15 of the
/// deviation; no number lies further out than 4.3 deviations.
struct GaussianBFloat16: Sendable {
    /// Numbers that one run of the random generator gives. Chunks are independent of each other, so that any
    /// thread can make any of them.
    static let chunk = 1 << 16

    private let table: [UInt16]

    init(mean: Double, deviation: Double) {
        let half = NormalQuantiles.upperHalf
        table = (0..<65_536).map { index in
            let quantile = index < 32_768 ? -half[32_767 - index] : half[index - 32_768]
            return Self.rounded(Float(mean + deviation * quantile))
        }
    }

    /// As networks are initialised, and as trained ones still look: matrices and tables around 0, norms
    /// around 1, biases small.
    static func distribution(of role: Role) -> GaussianBFloat16 {
        let parts = role.rawValue.split(separator: ".")
        if parts.last == "bias" { return biases }
        let module = parts.dropLast().last ?? ""
        return module.contains("norm") ? norms : weights
    }

    private static let weights = GaussianBFloat16(mean: 0, deviation: 0.02)
    private static let norms = GaussianBFloat16(mean: 1, deviation: 0.05)
    private static let biases = GaussianBFloat16(mean: 0, deviation: 0.005)

    /// The seed of one tensor.
    static func seed(_ seed: UInt64, name: String) -> UInt64 {
        var mixer = SplitMix64(seed: seed, name: name)
        return mixer.next()
    }

    /// Writes a run of a tensor's elements.
    /// - Parameters:
    ///   - elements: begins at a multiple of `chunk`.
    ///   - seed: the tensor's.
    func fill(_ target: UnsafeMutablePointer<UInt16>, elements: Range<Int>, seed: UInt64) {
        precondition(elements.lowerBound % Self.chunk == 0)
        table.withUnsafeBufferPointer { table in
            var start = elements.lowerBound
            var output = target
            while start < elements.upperBound {
                let count = min(Self.chunk, elements.upperBound - start)
                var mixer = SplitMix64(seed: seed &+ UInt64(start / Self.chunk))
                var generator = SplitMix64(seed: mixer.next())
                var index = 0
                while index &+ 4 <= count {
                    let bits = generator.next()
                    output[index] = table[Int(bits & 0xFFFF)]
                    output[index &+ 1] = table[Int((bits >> 16) & 0xFFFF)]
                    output[index &+ 2] = table[Int((bits >> 32) & 0xFFFF)]
                    output[index &+ 3] = table[Int(bits >> 48)]
                    index &+= 4
                }
                if index < count {
                    var bits = generator.next()
                    while index < count {
                        output[index] = table[Int(bits & 0xFFFF)]
                        bits >>= 16
                        index &+= 1
                    }
                }
                output += count
                start += count
            }
        }
    }

    /// To nearest, ties to even.
    private static func rounded(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
    }
}

/// Quantiles of the standard normal distribution.
private enum NormalQuantiles {
    /// Those of (32,768 + i + 1/2) / 65,536, by Newton's method on `erfc`, from each to the next.
    static let upperHalf: [Double] = {
        var quantiles: [Double] = []
        quantiles.reserveCapacity(32_768)
        var x = 0.0
        for index in 0..<32_768 {
            let tail = (Double(32_768 - index) - 0.5) / 65_536
            for _ in 0..<8 {
                let density = exp(-x * x / 2) / (2 * Double.pi).squareRoot()
                let step = (erfc(x / 2.squareRoot()) / 2 - tail) / density
                x += min(step, 0.25)
                if abs(step) < 1e-13 { break }
            }
            quantiles.append(x)
        }
        return quantiles
    }()
}

public import Architecture
import Foundation
import Synchronization

/// Cosines and sines of rotary position embedding (Su et al. 2021) for a range of positions.
///
/// Rounded as PyTorch's users compute them, in float32: `frequency[i] = 1 / base^(2i / headSize)`,
/// `angle = position * frequency[i]`. The two halves of a head share their angles.
public struct RotaryTable: Sendable {
    /// `[positions, headSize / 2]`
    public let cosines: [Float]
    public let sines: [Float]
    /// For turning back.
    let negativeSines: [Float]
    public let headSize: Int
    /// The base that the table was made with.
    public let base: Double
    public let positions: Int

    init(configuration: RotaryConfiguration, base: Double, headSize: Int, positions: Int) {
        let half = headSize / 2
        var divisor: Float = 1
        if case .linear(let factor) = configuration.scaling { divisor = Float(factor) }
        let frequencies = configuration.frequencies(base: base, headSize: headSize)
        var cosines = [Float](repeating: 0, count: positions * half)
        var sines = cosines
        for position in 0..<positions {
            let scaled = Float(position) / divisor
            for index in 0..<half {
                let angle = Double(scaled * frequencies[index])
                cosines[position * half + index] = Float(cos(angle))
                sines[position * half + index] = Float(sin(angle))
            }
        }
        self.cosines = cosines
        self.sines = sines
        negativeSines = sines.map { -$0 }
        self.headSize = headSize
        self.base = base
        self.positions = positions
    }
}

/// The rotary embedding of a model: which angles hold at which length.
public final class RotaryEmbedding: Sendable {
    public let configuration: RotaryConfiguration
    public let headSize: Int
    private let latest = Mutex<RotaryTable?>(nil)

    /// - Precondition: `headSize` is even, and factors of frequencies are half as many, which reading sees to.
    public init(_ configuration: RotaryConfiguration, headSize: Int) {
        precondition(headSize > 0 && headSize % 2 == 0)
        self.configuration = configuration
        self.headSize = headSize
    }

    /// The base for a sequence of `length` positions. Only dynamic scaling changes it, past `maxPositions`.
    public func base(length: Int) -> Double {
        guard case .dynamic(let factor) = configuration.scaling, length > configuration.maxPositions else {
            return configuration.base
        }
        let stretch = factor * Double(length) / Double(configuration.maxPositions) - (factor - 1)
        return configuration.base * pow(stretch, Double(headSize) / Double(headSize - 2))
    }

    /// Whether keys that were rotated at one length are wrong at `length`.
    public func changesBase(length: Int) -> Bool { base(length: length) != configuration.base }

    /// Angles for a sequence of `length` positions; at least `length` rows. Kept until the base changes.
    public func table(length: Int) -> RotaryTable {
        let base = base(length: length)
        return latest.withLock { latest in
            if let latest, latest.base == base, latest.positions >= length { return latest }
            let positions = base == configuration.base ? max(256, length + length / 2) : length
            let table = RotaryTable(configuration: configuration, base: base, headSize: headSize, positions: positions)
            latest = table
            return table
        }
    }
}

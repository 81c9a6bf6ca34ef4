import Foundation

/// Rotary position embedding (Su et al. 2021), rotating halves.
public struct RotaryConfiguration: Codable, Equatable, Sendable {
    public var base: Double
    /// The length that the model was trained for; dynamic scaling starts past it.
    public var maxPositions: Int
    public var scaling: Scaling

    public enum Scaling: Codable, Equatable, Sendable {
        case none
        /// Positions divided by the factor.
        case linear(factor: Double)
        /// The base grows with the length once it passes `maxPositions` (NTK-aware):
        /// `base * (factor * length / maxPositions - (factor - 1)) ^ (headSize / (headSize - 2))`.
        case dynamic(factor: Double)
        /// Low frequencies divided by a factor, high ones as they are (Llama 3.1).
        case llama3(parameters: Llama3Scaling)
        /// Each frequency divided by a factor of its own, `headSize / 2` of them: what a GGUF file has of any scaling.
        case frequencies(factors: [Float])
    }

    public init(base: Double = 10000, maxPositions: Int, scaling: Scaling = .none) {
        self.base = base
        self.maxPositions = maxPositions
        self.scaling = scaling
    }

    /// `base^(2i / headSize)`, rounded as PyTorch's users compute it, in float32. `[headSize / 2]`
    public static func positionsPerRadian(base: Double, headSize: Int) -> [Float] {
        (0..<headSize / 2).map { Float(pow(base, Double(Float(2 * $0) / Float(headSize)))) }
    }

    /// Radians for each position, before linear scaling, which divides the positions. `[headSize / 2]`
    /// - Parameter base: this one's, or that of a length past the limit of dynamic scaling.
    /// - Precondition: factors of frequencies are `headSize / 2`.
    public func frequencies(base: Double, headSize: Int) -> [Float] {
        let positions = Self.positionsPerRadian(base: base, headSize: headSize)
        switch scaling {
        case .none, .linear, .dynamic: return positions.map { 1 / $0 }
        case .llama3(let scaling): return positions.map { scaling.scaled(1 / $0) }
        case .frequencies(let factors):
            precondition(factors.count == positions.count)
            return zip(factors, positions).map { 1 / ($0 * $1) }
        }
    }

    /// What llama.cpp divides each frequency by; nil where all are as the base has them.
    public func frequencyDivisors(headSize: Int) -> [Float]? {
        switch scaling {
        case .none, .linear, .dynamic: nil
        case .llama3(let scaling):
            Self.positionsPerRadian(base: base, headSize: headSize).map { scaling.divisor(of: 1 / $0) }
        case .frequencies(let factors): factors
        }
    }
}

/// Llama 3.1's scaling: wavelengths above `originalMaxPositions / lowFrequencyFactor` are stretched by `factor`, those below
/// `originalMaxPositions / highFrequencyFactor` are not, those between are interpolated.
///
/// All in float32, each step rounded as transformers does it.
public struct Llama3Scaling: Codable, Equatable, Sendable {
    public var factor: Double
    public var lowFrequencyFactor: Double
    /// Above `lowFrequencyFactor`.
    public var highFrequencyFactor: Double
    /// The length that the model was first trained for.
    public var originalMaxPositions: Int

    public init(
        factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalMaxPositions: Int
    ) {
        self.factor = factor
        self.lowFrequencyFactor = lowFrequencyFactor
        self.highFrequencyFactor = highFrequencyFactor
        self.originalMaxPositions = originalMaxPositions
    }

    /// What a frequency, in radians for each position, becomes.
    public func scaled(_ frequency: Float) -> Float {
        guard let smooth = smooth(frequency) else {
            return wavelength(frequency) > longest ? frequency / Float(factor) : frequency
        }
        return (1 - smooth) * frequency / Float(factor) + smooth * frequency
    }

    /// What llama.cpp divides a frequency by, as its converter writes it to `rope_freqs.weight`.
    public func divisor(of frequency: Float) -> Float {
        guard let smooth = smooth(frequency) else { return wavelength(frequency) > longest ? Float(factor) : 1 }
        return 1 / ((1 - smooth) / Float(factor) + smooth)
    }

    private var longest: Float { Float(Double(originalMaxPositions) / lowFrequencyFactor) }
    private var shortest: Float { Float(Double(originalMaxPositions) / highFrequencyFactor) }

    /// In positions. PyTorch divides a number by a tensor as its reciprocal times the number.
    private func wavelength(_ frequency: Float) -> Float { 1 / frequency * Float(2 * Double.pi) }

    /// The share of a frequency between both limits that stays; nil outside.
    private func smooth(_ frequency: Float) -> Float? {
        let wavelength = wavelength(frequency)
        guard wavelength >= shortest, wavelength <= longest else { return nil }
        return (1 / wavelength * Float(originalMaxPositions) - Float(lowFrequencyFactor))
            / Float(highFrequencyFactor - lowFrequencyFactor)
    }
}

/// What an extraction found, weight by weight. Norms are Frobenius norms.
public struct ExtractionReport: Codable, Equatable, Sendable {
    public var base: String
    public var tuned: String
    public var output: String
    /// False where there was nothing to write.
    public var isWritten = false
    /// Modules that got a pair, and those whose difference is nothing but rounding.
    public var layers: [ExtractedLayer] = []
    /// Weights that do not differ.
    public var unchangedCount = 0
    /// Tuned tensors that the adapter holds whole.
    public var replaced: [String] = []
    /// Weights that differ and were not asked for: how much of them is lost, |delta| / |base|.
    public var leftOut: [LeftOut] = []
    /// Tensors without a counterpart.
    public var onlyInBase: [String] = []
    public var onlyInTuned: [String] = []

    public struct LeftOut: Codable, Equatable, Sendable {
        public var name: String
        public var deltaRatio: Double
    }

    public init(base: String, tuned: String, output: String) {
        self.base = base
        self.tuned = tuned
        self.output = output
    }

    public var pairs: [ExtractedLayer] { layers.filter { $0.rank > 0 } }
    public var roundingOnly: [ExtractedLayer] { layers.filter { $0.verdict == .roundingOnly } }

    /// |delta - B A| / |delta| over all the modules that got a pair.
    public var residual: Double {
        let total = pairs.reduce(0) { $0 + $1.deltaNorm * $1.deltaNorm }
        let lost = pairs.reduce(0) { $0 + $1.deltaNorm * $1.deltaNorm * $1.residual * $1.residual }
        return total > 0 ? (lost / total).squareRoot() : 0
    }
}

/// One module of an extraction.
public struct ExtractedLayer: Codable, Equatable, Sendable {
    public enum Verdict: String, Codable, Sendable {
        case pair
        /// Differs by what rounding to its stored type leaves.
        case roundingOnly = "rounding only"
    }

    public var module: String
    public var verdict: Verdict
    public var shape: [Int]
    public var deltaNorm: Double
    /// |delta| / |base|
    public var deltaRatio: Double
    public var rank: Int
    /// The share of |delta|^2 that the singular values kept hold.
    public var energy: Double
    /// |delta - B A| / |delta| with the factors as they are stored.
    public var residual: Double
    public var firstValue: Double
    /// The last singular value that was kept.
    public var lastValue: Double
    /// Singular values below this may be rounding of the stored types.
    public var noiseFloor: Double
    public var hasBias: Bool
    /// Of the decomposition alone, and of all: reading, subtracting, and the residual too.
    public var decompositionSeconds: Double
    public var seconds: Double
}

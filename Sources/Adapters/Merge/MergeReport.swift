import Kernels

/// What a merge kept and what it cost, weight by weight.
public struct MergeReport: Codable, Equatable, Sendable {
    public var base: String
    public var output: String
    /// As the user named them.
    public var adapters: [String]
    public var layers: [MergedLayer]
    /// Tensors that were put in the place of the base's, and biases that were added to.
    public var replaced: [String]
    public var warnings: [String]

    public init(base: String, output: String, adapters: [String]) {
        self.base = base
        self.output = output
        self.adapters = adapters
        layers = []
        replaced = []
        warnings = []
    }

    /// The least share of a delta that a weight retains; nil when none has one.
    public var lowestRetention: MergedLayer? {
        layers.filter { $0.deltaRatio > 0 }.min { $0.retained < $1.retained }
    }
}

/// One weight of a merge. Norms are Frobenius norms; W is the base as it was stored.
public struct MergedLayer: Codable, Equatable, Sendable {
    public var name: String
    public var method: Method
    /// |delta| / |W|
    public var deltaRatio: Double
    /// The share of the delta that is there along its own direction: <merged - W, delta> / |delta|^2. 1 for no delta.
    public var retained: Double
    /// |merged - (W + delta)| / |W + delta|, where W is the 16-bit source if the merge began there.
    public var relativeError: Double
    /// The largest change of an element.
    public var largestChange: Double

    public enum Method: String, Codable, Sendable {
        /// Added in float32 and rounded once.
        case added
        /// Dequantized, added, quantized again, as PEFT does.
        case requantized
        /// Rounded onto the base's own 4-bit grid so that the delta is kept.
        case kept
        /// Added to the 16-bit source and quantized from there.
        case fromSource = "from source"
    }

    init(_ name: String, _ method: Method, _ sums: MergeSums) {
        self.name = name
        self.method = method
        deltaRatio = sums.squaredBase > 0 ? (sums.squaredDelta / sums.squaredBase).squareRoot() : 0
        retained = sums.squaredDelta > 0 ? sums.deltaChange / sums.squaredDelta : 1
        relativeError = sums.squaredTarget > 0 ? (sums.squaredError / sums.squaredTarget).squareRoot() : 0
        largestChange = Double(sums.largestChange)
    }

    init(_ name: String, _ merged: MergedWeight) {
        self.name = name
        method = merged.method == .kept ? .kept : .requantized
        deltaRatio = merged.statistics.deltaRatio
        retained = merged.statistics.retention
        relativeError = merged.statistics.relativeError
        largestChange = merged.statistics.largestChange
    }

    /// The names of the numbers that a bundle's history keeps of each weight.
    static let measureNames = ["deltaRatio", "retained", "relativeError", "largestChange"]

    var measures: [String: Double] {
        [
            "deltaRatio": deltaRatio, "retained": retained, "relativeError": relativeError,
            "largestChange": largestChange,
        ]
    }
}

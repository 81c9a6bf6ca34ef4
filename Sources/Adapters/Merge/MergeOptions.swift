import Bytes
import Tensors

/// What a merge writes, and how 4-bit weights take the delta.
public struct MergeOptions: Sendable {
    /// The type of merged weights.
    public enum Target: String, CaseIterable, Sendable {
        /// Each weight as the base has it: 4-bit stays 4-bit.
        case source
        case nf4
        case bf16
        case f16
        case f32

        /// The type of numbers that it names; nil for the two that depend on the base.
        var denseType: ElementType? {
            switch self {
            case .source, .nf4: nil
            case .bf16: .bf16
            case .f16: .f16
            case .f32: .f32
            }
        }
    }

    /// How a delta gets into a 4-bit weight.
    public enum Rounding: String, CaseIterable, Sendable {
        /// Onto the base's own grid, such that the delta survives.
        case keep
        /// Dequantize, add, quantize again: bitsandbytes' bytes, and most of a small delta lost.
        case plain
        /// Not at all: the pairs lie beside the weights of a bundle, and nothing is lost.
        case beside
    }

    public var into: Target
    public var rounding: Rounding
    /// The share of a delta that `keep` aims at, above 0 and at most 1.
    public var retention: Double
    /// The 16-bit weights that a 4-bit base was made from: deltas are added to these, and the sum is quantized.
    public var source: (any BaseModel)?
    /// The merge is refused when a weight would retain less of its delta than this share.
    public var failBelow: Double?
    /// Goes on with an interrupted run.
    public var resumes: Bool
    /// Bytes written between two records of what is finished; see `ResumeFolder`.
    public var recordStride = ResumeFolder.usualStride
    public var overwrites: Bool
    /// Most bytes of tensors in one file of a checkpoint.
    public var shardLimit: Int

    /// What a weight should retain at least, if nobody is to be warned.
    public static let expectedRetention = 0.5

    public init(
        into: Target = .source, rounding: Rounding = .keep, retention: Double = KeepingRounder().retention,
        source: (any BaseModel)? = nil, failBelow: Double? = nil, resumes: Bool = false, overwrites: Bool = false,
        shardLimit: Int = 5_000_000_000
    ) {
        self.into = into
        self.rounding = rounding
        self.retention = retention
        self.source = source
        self.failBelow = failBelow
        self.resumes = resumes
        self.overwrites = overwrites
        self.shardLimit = shardLimit
    }

    /// - Throws: `CrayonError` for shares that are none.
    func check() throws(CrayonError) {
        guard retention > 0, retention <= 1 else {
            throw CrayonError(.usage, in: "--retention", found: "\(retention)", expected: "above 0 and at most 1")
        }
        if rounding == .beside, into != .source {
            throw CrayonError(
                .usage, in: "--into", found: "\(into.rawValue) with --rounding beside, which changes no weight",
                expected: "one of the two")
        }
        if let failBelow, !(0...1).contains(failBelow) {
            throw CrayonError(.usage, in: "--fail-below", found: "\(failBelow)", expected: "0 to 1")
        }
    }
}

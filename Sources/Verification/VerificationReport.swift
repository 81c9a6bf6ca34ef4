import Models

/// What a verification found; its JSON form, with keys in snake case, is what `crayon verify --json` prints.
public struct VerificationReport: Codable, Sendable {
    /// The bundle or checkpoint, as the user named it.
    public var model: String
    public var structure: Finding
    /// Nil for a checkpoint, which records no digests.
    public var digests: DigestFindings?
    public var numbers: NumberFindings?
    public var probes: [ProbeFinding]
    public var source: SourceFindings?
    /// Whether everything above held.
    public var passed: Bool

    /// One yes or no, with the reason for a no.
    public struct Finding: Codable, Sendable {
        public var passed: Bool
        public var problem: String?
    }

    public struct DigestFindings: Codable, Sendable {
        public var checkedTensors: Int
        public var checkedBytes: Int
        /// Names of the tensors whose bytes are not those that were written.
        public var failed: [String]
        public var passed: Bool
    }

    public struct NumberFindings: Codable, Sendable {
        public var checkedTensors: Int
        public var problems: [String]
        public var passed: Bool
    }

    public struct ProbeFinding: Codable, Sendable {
        /// File of the probe, or its name in the bundle.
        public var name: String
        /// Rows of logits compared.
        public var positions: Int
        public var relativeError: Double
        public var maxAbsError: Double
        public var top1Agreement: Double
        public var klMean: Double
        public var perplexity: Double?
        public var referencePerplexity: Double?
        /// The relative error that was allowed.
        public var tolerance: Double
        public var passed: Bool

        init(name: String, positions: Int, comparison: LogitComparison, tolerance: Double) {
            self.name = name
            self.positions = positions
            relativeError = comparison.relativeError
            maxAbsError = comparison.maxAbsError
            top1Agreement = comparison.top1Agreement
            klMean = comparison.klMean
            perplexity = comparison.perplexity
            referencePerplexity = comparison.referencePerplexity
            self.tolerance = tolerance
            passed = comparison.relativeError <= tolerance
        }
    }

    public struct SourceFindings: Codable, Sendable {
        public var source: String
        public var tensors: [TensorFinding]
        /// Logits of the bundle against those of the source, on the inputs of the probes, or built-in ones where none are.
        public var logits: [ProbeFinding]
        public var passed: Bool
    }

    public struct TensorFinding: Codable, Sendable {
        public var name: String
        public var coding: String
        /// Frobenius norm of the difference over that of the source.
        public var relativeError: Double
        public var cosine: Double
        /// The largest relative error of a run of 64 elements.
        public var worstBlock: Double
        /// What `relativeError` may be for this coding.
        public var limit: Double
        public var passed: Bool
    }
}

import JSON
public import LinearAlgebra
public import Tensors

/// What an extraction looks for and how it writes it.
public struct ExtractionOptions: Sendable {
    public enum Method: String, CaseIterable, Sendable {
        case randomized
        /// LAPACK's, one core, minutes for a large matrix.
        case full
    }

    /// What becomes of embeddings that differ.
    public enum Embeddings: String, CaseIterable, Sendable {
        case none
        case pairs
        /// The tuned table as it is (`modules_to_save`).
        case whole
    }

    /// The rank, module by module.
    public var target = SpectrumTarget.count(64)
    /// No rank above this, whatever the target wants.
    public var largestRank: Int?
    /// Of the factors: F32, F16 or BF16.
    public var type = ElementType.f32
    public var method = Method.randomized
    public var seed: UInt64 = 0
    public var biases = false
    public var norms = false
    public var embeddings = Embeddings.none
    /// A regular expression that a module's path must contain; nil for all.
    public var modules: String?
    /// What `base_model_name_or_path` shall say; nil for the base's path.
    public var baseName: String?

    public init() {}

    /// Everything that the result depends on, for the journal.
    var fingerprint: JSONObject {
        let rule: JSONValue =
            switch target {
            case .count(let count): ["count": .int(count)]
            case .energy(let share): ["energy": .double(share)]
            case .ratio(let ratio): ["ratio": .double(ratio)]
            }
        return JSONObject([
            "target": rule, "largest_rank": largestRank.map(JSONValue.int) ?? .null, "type": .string(type.rawValue),
            "method": .string(method.rawValue), "seed": .string(String(seed)), "biases": .bool(biases),
            "norms": .bool(norms), "embeddings": .string(embeddings.rawValue),
            "modules": modules.map { .string($0) } ?? .null, "base_name": baseName.map { .string($0) } ?? .null,
        ])
    }
}

public import Architecture
public import Bytes

/// Which part of a model is stored in which format.
public struct PrecisionPlan: Equatable, Sendable {
    /// The profile that it started from.
    public let profile: Profile
    private var formats: [Part: WeightFormat]

    /// Plans with a name and a promise.
    public enum Profile: String, CaseIterable, Sendable {
        /// The backbone's linear layers in NF4, everything else as in the source, losslessly packed. What differs from the
        /// source is what bitsandbytes' 4-bit loading would change, and nothing else.
        case faithful
        /// The smallest that keeps the answers: as `faithful`, with the tables, the head, the vision tower and the
        /// projectors in 8-bit blocks, and the low-rank pairs in NF4, as the published loader has them. Crayon queries
        /// stay: they are small, and every image token reads them.
        case compact
    }

    public init(_ profile: Profile = .faithful) {
        self.profile = profile
        switch profile {
        case .faithful: formats = [.backbone: .nf4]
        case .compact:
            formats = [
                .backbone: .nf4, .embeddings: .int8, .head: .int8, .vision: .int8, .projectors: .int8, .adapters: .nf4,
            ]
        }
    }

    public subscript(part: Part) -> WeightFormat {
        get { formats[part] ?? .source }
        set { formats[part] = newValue }
    }

    /// Applies a user's `part=format`.
    /// - Throws: `CrayonError` that lists what there is.
    public mutating func apply(_ assignment: String, option: String = "--precision") throws(CrayonError) {
        let halves = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard halves.count == 2, let part = Part(rawValue: String(halves[0])),
            let format = WeightFormat(rawValue: String(halves[1]))
        else {
            throw CrayonError(
                .usage, in: option, found: "'\(assignment)'",
                expected:
                    "PART=FORMAT with PART one of \(Part.allCases.map(\.rawValue).joined(separator: ", ")) and FORMAT one of "
                    + WeightFormat.allCases.map(\.rawValue).joined(separator: ", "))
        }
        self[part] = format
    }

    /// The format of one parameter. Norms, biases and position tables are never quantized: they stay as in
    /// the source where their part is.
    public func format(of parameter: Parameter) -> WeightFormat {
        let format = self[parameter.part]
        switch format {
        case .nf4, .int8: return parameter.isMatrix ? format : .source
        case .bf16, .f16, .f32, .source: return format
        }
    }
}

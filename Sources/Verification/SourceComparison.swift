import Architecture
import Bytes
import Checkpoints
import Quantization
import Tensors

/// Compares a model, weight by weight, with the one that it was made from.
struct SourceComparison {
    let model: any ModelSource
    let source: any ModelSource

    func run(progress: (Int, Int) -> Void) throws(CrayonError) -> [VerificationReport.TensorFinding] {
        let roles = source.configuration.parameters.map(\.role)
        var findings: [VerificationReport.TensorFinding] = []
        for (index, role) in roles.enumerated() {
            let mine = try model.weight(role)
            let theirs = try source.weight(role)
            switch (mine, theirs) {
            case (let mine?, .dense(let tensor)?): findings.append(try finding(role, mine, tensor))
            case (nil, nil): break
            default:
                throw CrayonError(
                    .mismatch, in: model.place, item: "weight '\(role)'", found: mine == nil ? "nothing" : "a weight",
                    expected: mine == nil ? "the weight that '\(source.place)' has" : "none, as in '\(source.place)'",
                    advice: "Name the checkpoint that the bundle was made from.")
            }
            progress(index + 1, roles.count)
        }
        return findings
    }

    private func finding(
        _ role: Role, _ weight: StoredWeight, _ source: Tensor
    ) throws(CrayonError) -> VerificationReport.TensorFinding {
        let statistics = try ErrorStatistics.compare(weight, with: source, place: model.place)
        let (coding, limit) = Self.limit(for: weight, from: source.type)
        let worst = statistics.worstBlock?.relativeError ?? 0
        return VerificationReport.TensorFinding(
            name: role.rawValue, coding: coding, relativeError: statistics.relativeError, cosine: statistics.cosine,
            worstBlock: worst, limit: limit, passed: statistics.relativeError <= limit)
    }

    /// What a coding may add to a weight, as a relative error over the whole of it.
    static func limit(for weight: StoredWeight, from source: ElementType) -> (coding: String, limit: Double) {
        switch weight {
        case .dense(let tensor) where tensor.type == source: (tensor.type.rawValue, 0)
        // Half a unit in the last place of 8, 11 and 24 bits, whatever the distribution. A float16 also loses below 6e-8.
        case .dense(let tensor) where tensor.type == .bf16: ("BF16", 0x1p-8)
        case .dense(let tensor) where tensor.type == .f16: ("F16", 0x1p-8)
        case .dense(let tensor): (tensor.type.rawValue, 0x1p-24)
        // A normal distribution gives 0.087 to 0.110 for blocks of 32 to 4096; heavy tails push the levels apart.
        case .nf4: ("NF4", 0.2)
        case .int8: ("INT8", 0.03)
        }
    }
}

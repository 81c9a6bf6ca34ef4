import Adapters
import Architecture
public import BundleFormat
public import Bytes
import Checkpoints
public import Models
import Quantization

/// A bundle before its first stage: crayon queries and projectors drawn anew, no low-rank sets.
public enum FreshStart {
    /// Writes the bundle; nothing stands under `output` before it is whole.
    ///
    /// Without sets the crayon prompt can only be added to what attention reads, the paper's way of entering.
    /// - Parameters:
    ///   - keeping: parts that stay as they are: `projectors.image`, `adapters:SET` and so on.
    ///   - seed: each tensor is drawn by its name, as where a conversion is given no crayon file.
    /// - Throws: `CrayonError` for a model without crayon queries, a part that it lacks, and when the file cannot be written.
    public static func write(
        _ base: BundleReader, keeping kept: [LearnablePart] = [], seed: UInt64, to output: String
    ) throws(CrayonError) {
        let configuration = base.configuration
        guard configuration.crayon != nil else {
            throw CrayonError(
                .usage, in: base.place, found: "a model without crayon queries",
                expected: "one with a vision part and crayon queries")
        }
        var rewrite = BundleRewrite(base)
        rewrite.keepsProbes = false
        let sets = configuration.lowRankSets.map(\.name)
        var keptRoles: Set<Role> = []
        for part in kept {
            keptRoles.formUnion(try part.roles(of: configuration, activeSets: sets, in: base.place))
        }
        let keptSets = sets.filter { name in kept.contains(.adapters(set: name)) || kept.contains(.adapters(set: nil)) }
        let readsCrayon = configuration.lowRankSets.contains { keptSets.contains($0.name) && $0.input == .crayon }
        if !readsCrayon { rewrite.model.crayon?.entry = .additive }
        for set in sets where !keptSets.contains(set) { try rewrite.removeSet(set) }
        for parameter in configuration.parameters {
            guard parameter.part == .crayon || parameter.part == .projectors, !keptRoles.contains(parameter.role),
                var weight = base.entry(parameter.role)
            else { continue }
            let fresh = StoredWeight.dense(
                FreshWeights.tensor(parameter, name: weight.sourceName, seed: seed))
            weight.coding = BundleCoding(storing: fresh)
            rewrite.set(weight) { () throws(CrayonError) in (fresh, [:]) }
        }
        var options = ["seed": "\(seed)"]
        if !kept.isEmpty { options["kept"] = kept.map(\.description).joined(separator: ", ") }
        try rewrite.write(to: output, step: BundleStep(kind: "fresh", producer: Producer.name, options: options))
    }
}

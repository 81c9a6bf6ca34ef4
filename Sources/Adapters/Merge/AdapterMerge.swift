import Architecture
import BundleFormat
public import Bytes
import Checkpoints
import Foundation
import JSON
import Quantization
import Tensors

/// Merges an adapter into a base: a bundle into a bundle, a checkpoint into a checkpoint folder.
///
/// Goals: PEFT's bits where PEFT rounds as it should; a report of what each weight retained; one weight at a time in memory;
/// nothing under the final name before it is whole; an interrupted run that goes on and ends in the same bytes.
public struct AdapterMerge: Sendable {
    public struct Progress: Sendable {
        public let tensor: String
        public let done: Int
        public let total: Int
    }

    public let base: any BaseModel
    public let options: MergeOptions
    /// What the adapters are called in reports.
    public let names: [String]
    /// Several have become one.
    let adapter: Adapter
    /// Sets of the base that were named: merged, they go.
    let ownSets: [String]
    /// Its digest, which takes reading all of its numbers.
    private let source: BundleSource
    /// Whether the merge changes nothing but the rounding: the base's own active sets, each with its full weight.
    let keepsAnswers: Bool

    /// - Parameters:
    ///   - members: adapters with their weights; not none.
    ///   - names: what reports call them.
    ///   - method: how several become one, or one of another weight than 1.
    /// - Throws: `CrayonError` for adapters that are no change of a weight, that do not fit the base, and for options that
    ///   make no sense.
    public init(
        base: any BaseModel, members: [(adapter: Adapter, weight: Double)], names: [String],
        method: CombinationMethod = .cat, combination: CombinationOptions = CombinationOptions(), options: MergeOptions
    ) throws(CrayonError) {
        try options.check()
        if let source = options.source, !base.weights.contains(where: { $0.storage == .nf4 }) {
            throw CrayonError(
                .usage, in: "--source", found: "'\(source.place)' beside a base without 4-bit weights",
                expected: "a 4-bit base: a delta is added to other weights as they are")
        }
        for (adapter, _) in members {
            if let reason = adapter.reasonAgainstMerging, options.rounding != .beside {
                throw CrayonError(
                    .unsupported, in: adapter.place, item: "adapter '\(adapter.name)'", found: reason,
                    expected: "pairs that act at every position on what the layer reads",
                    advice: "Keep them beside the weights: 'crayon adapter add', or 'crayon adapter convert'.")
            }
            try adapter.check(against: base)
            if let source = options.source { try adapter.check(against: source) }
        }
        let isPlain = members.count == 1 && members[0].weight == 1
        self.base = base
        self.adapter =
            isPlain
            ? members[0].adapter : try AdapterCombination.combine(members, method: method, options: combination)
        source = try self.adapter.source(named: self.adapter.name)
        self.names = names
        self.options = options
        let bundle = (base as? BundleBase)?.bundle
        let own = members.filter { $0.adapter.place == bundle?.place }
        let active = Set(bundle?.configuration.lowRankSets.filter(\.isActive).map(\.name) ?? [])
        ownSets = own.map(\.adapter.name)
        keepsAnswers =
            own.count == members.count && method == .cat
            && own.allSatisfy { $0.weight == 1 && active.contains($0.adapter.name) }
    }

    /// - Parameters:
    ///   - output: a bundle's path for a bundle, a folder's for a checkpoint.
    ///   - progress: called from the calling thread.
    /// - Throws: `CrayonError`; nothing is left under `output` then. What an interrupted run had finished is kept when it was the
    ///   disk that failed.
    public func run(
        to output: String, progress: @escaping @Sendable (Progress) -> Void = { _ in }
    ) throws(CrayonError) -> MergeReport {
        guard options.rounding != .beside || base is BundleBase else {
            throw CrayonError(
                .usage, in: "--rounding", found: "beside for the checkpoint \(base.place)",
                expected: "a bundle, which can hold pairs beside its weights",
                advice: "A checkpoint's adapter stays a folder of its own; 'crayon quantize --adapter' takes both.")
        }
        if output.hasSuffix(".crayon"), let checkpoint = (base as? CheckpointBase)?.checkpoint {
            guard !options.resumes else {
                throw CrayonError(
                    .usage, in: "--resume", found: "a checkpoint that becomes a bundle",
                    expected: "a bundle from a bundle, or a folder from a checkpoint",
                    advice: "Start it anew, or merge into a folder and quantize that.")
            }
            return warned(try ConversionMerge(merge: self, checkpoint: checkpoint).run(to: output, progress))
        }
        let resume = try ResumeFolder(
            output: output, fingerprint: fingerprint(), resumes: options.resumes, stride: options.recordStride)
        do throws(CrayonError) {
            var report: MergeReport
            if let bundle = (base as? BundleBase)?.bundle {
                report = try BundleMerge(merge: self, bundle: bundle).run(to: output, resume, progress)
            } else if let checkpoint = (base as? CheckpointBase)?.checkpoint {
                report = try CheckpointMerge(merge: self, checkpoint: checkpoint).run(to: output, resume, progress)
            } else {
                preconditionFailure("a base is a bundle or a checkpoint")
            }
            if resume.discardedEarlierRun {
                report.warnings.append("an interrupted run was thrown away; --resume would have gone on with it")
            }
            resume.remove()
            return warned(report)
        } catch {
            // A full disk may be freed; whatever else failed would fail again.
            if error.code != .io || resume.finished.isEmpty { resume.remove() }
            throw error
        }
    }

    /// Tells where most of a delta is lost.
    private func warned(_ merged: MergeReport) -> MergeReport {
        var report = merged
        let low = report.layers.filter { $0.deltaRatio > 0 && $0.retained < MergeOptions.expectedRetention }
        if let worst = low.min(by: { $0.retained < $1.retained }) {
            report.warnings.append(
                "\(low.count) of \(report.layers.count) weights retain less than half of their delta, '\(worst.name)' "
                    + "\(WeightMerge.percent(worst.retained)): --source, --rounding keep or beside retain it")
        }
        return report
    }

    /// That what the weights were made from is what was opened.
    func checkUnchanged() throws(CrayonError) {
        try base.checkUnchanged()
        try options.source?.checkUnchanged()
        try adapter.checkUnchanged()
    }

    /// What a bundle's history says of the merge.
    func step(measures: [String: [String: Double]]? = nil) -> BundleStep {
        var described = [
            // Without folders: those are the business of the machine.
            "adapters": names.map(Folder.lastPart).joined(separator: ", "),
            "into": options.into.rawValue,
        ]
        if (base as? BundleBase) != nil {
            described["rounding"] = options.source == nil ? options.rounding.rawValue : "from source"
            if options.rounding == .keep, options.source == nil { described["retention"] = "\(options.retention)" }
        }
        return BundleStep(
            kind: "merge", producer: Producer.name, options: described,
            sources: [source], measures: measures)
    }

    /// Everything that the result depends on, files by size and time of change.
    private func fingerprint() -> JSONObject {
        return JSONObject([
            "job": "merge", "producer": .string(Producer.name), "base": .string(base.place), "files": base.stamp,
            "adapters": .array(names.map(JSONValue.string)), "adapter": .string(source.sha256),
            "into": .string(options.into.rawValue), "rounding": .string(options.rounding.rawValue),
            "retention": .double(options.retention),
            "source": options.source.map(\.stamp) ?? .null,
            "failBelow": options.failBelow.map { .double($0) } ?? .null, "shardLimit": .int(options.shardLimit),
        ])
    }
}

import BundleFormat
public import Bytes
import Checkpoints
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
    /// One adapter: several become one by `AdapterCombination`.
    public let adapter: Adapter
    public let options: MergeOptions
    /// What the adapters are called in reports.
    public let names: [String]
    /// A set of the base that the adapter is: merged, it goes.
    public let mergedSet: String?

    /// - Throws: `CrayonError` for adapters that are no change of a weight, that do not fit the base, and for options that
    ///   make no sense.
    public init(
        base: any BaseModel, adapter: Adapter, names: [String], mergedSet: String? = nil, options: MergeOptions
    ) throws(CrayonError) {
        try options.check()
        if let reason = adapter.reasonAgainstMerging {
            throw CrayonError(
                .unsupported, in: adapter.place, item: "adapter '\(adapter.name)'", found: reason,
                expected: "pairs that act at every position on what the layer reads",
                advice: "Keep them beside the weights: 'crayon adapter add', or 'crayon adapter convert'.")
        }
        try adapter.check(against: base)
        if let source = options.source { try adapter.check(against: source) }
        self.base = base
        self.adapter = adapter
        self.names = names
        self.mergedSet = mergedSet
        self.options = options
    }

    /// - Parameters:
    ///   - output: a bundle's path for a bundle, a folder's for a checkpoint.
    ///   - progress: called from the calling thread.
    /// - Throws: `CrayonError`; nothing is left under `output` then. What an interrupted run had finished is kept when it was the
    ///   disk that failed.
    public func run(
        to output: String, progress: (Progress) -> Void = { _ in }
    ) throws(CrayonError) -> MergeReport {
        let resume = try ResumeFolder(output: output, fingerprint: fingerprint(), resumes: options.resumes)
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
            return report
        } catch {
            // A full disk may be freed; whatever else failed would fail again.
            if error.code != .io { resume.remove() }
            throw error
        }
    }

    /// Everything that the result depends on, files by size and time of change.
    private func fingerprint() throws(CrayonError) -> JSONObject {
        func files(_ model: any BaseModel) -> JSONValue {
            .array(model.files.map { .string($0) })
        }
        return JSONObject([
            "job": "merge", "producer": .string(Producer.name), "base": .string(base.place), "files": files(base),
            "adapters": .array(names.map(JSONValue.string)), "adapter": .string(try adapter.digest().description),
            "into": .string(options.into.rawValue), "rounding": .string(options.rounding.rawValue),
            "retention": .double(options.retention),
            "source": options.source.map { files($0) } ?? .null,
            "failBelow": options.failBelow.map { .double($0) } ?? .null, "shardLimit": .int(options.shardLimit),
        ])
    }
}

extension BaseModel {
    /// Its files, with what tells one state of them from another.
    var files: [String] {
        let paths: [String] =
            if let bundle = (self as? BundleBase)?.bundle {
                [bundle.place]
            } else if let checkpoint = (self as? CheckpointBase)?.checkpoint {
                checkpoint.sourceFiles.map(\.path)
            } else {
                []
            }
        return paths.map { "\($0) \(FileIdentity(path: $0).description)" }
    }
}

import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Kernels
import Models
import Quantization
import Tensors

/// A merge of a bundle into a bundle: merged weights in the place of the base's, all else as it lies.
struct BundleMerge {
    let merge: AdapterMerge
    let bundle: BundleReader

    func run(
        to output: String, _ resume: ResumeFolder, _ progress: (AdapterMerge.Progress) -> Void
    ) throws(CrayonError) -> MergeReport {
        guard output.hasSuffix(".crayon") else {
            throw CrayonError(
                .usage, in: output, found: "no name of a bundle", expected: "a path that ends in .crayon",
                advice: "Merge into a bundle, then 'crayon export' it.")
        }
        var rewrite = BundleRewrite(bundle)
        rewrite.reads { [merge] () throws(CrayonError) in try merge.checkUnchanged() }
        var report = MergeReport(base: bundle.place, output: output, adapters: merge.names)
        for set in merge.ownSets { try rewrite.removeSet(set) }
        // A set that acted acts on: the answers are the same but for rounding.
        rewrite.keepsProbes = merge.keepsAnswers
        if !rewrite.keepsProbes, !bundle.probes.isEmpty {
            report.warnings.append(
                "recorded answers are left out: the merged model is another than the one that gave them")
        }
        if merge.options.rounding == .beside {
            return try writeBeside(rewrite, report, to: output, resume, progress)
        }
        var entries: [String: BundleWeight] = [:]
        for entry in bundle.manifest.weights where entry.part != .adapters { entries[entry.sourceName] = entry }
        let plan = try MergePlan(merge.adapter, base: merge.base)
        let weights = WeightMerge(options: merge.options, place: bundle.place)
        for work in plan.works {
            guard let entry = entries[work.weight.name] else { preconditionFailure("a weight of the base") }
            try set(work, entry, weights, in: &rewrite)
        }
        let isProbed = rewrite.keepsProbes && !bundle.probes.isEmpty
        let manifest = try rewrite.write(
            to: output, step: merge.step(), resume: resume,
            measure: isProbed ? { (reader) throws(CrayonError) in try reader.measureProbes() } : nil,
            progress: { progress(AdapterMerge.Progress(tensor: $0, done: $1, total: $2)) })
        let measures = manifest.history.last?.measures ?? [:]
        for work in plan.works {
            if case .pair = work.kind, let values = measures[work.weight.name] {
                report.layers.append(MergedLayer(work.weight.name, measures: values))
            } else {
                report.replaced.append(work.weight.name)
            }
        }
        return report
    }

    /// The pairs become a set of their own: exact, and the same answers where they were sets before.
    private func writeBeside(
        _ rewrite: BundleRewrite, _ report: MergeReport, to output: String, _ resume: ResumeFolder,
        _ progress: (AdapterMerge.Progress) -> Void
    ) throws(CrayonError) -> MergeReport {
        var rewrite = rewrite
        var report = report
        let keepsProbes = rewrite.keepsProbes
        try rewrite.add(merge.adapter, as: merge.adapter.name)
        rewrite.keepsProbes = keepsProbes
        try rewrite.write(
            to: output, step: merge.step(), resume: resume,
            progress: { progress(AdapterMerge.Progress(tensor: $0, done: $1, total: $2)) })
        report.beside = [merge.adapter.name]
        return report
    }

    private func set(
        _ work: MergePlan.Work, _ entry: BundleWeight, _ weights: WeightMerge, in rewrite: inout BundleRewrite
    ) throws(CrayonError) {
        var entry = entry
        let rule = entry.coding.codeRule.flatMap(Dynamic8Kernel.Rule.init(rawValue:)) ?? .bitsandbytesCPU
        let base = merge.base
        switch work.kind {
        case .pair(let module, let whole):
            entry.coding = try coding(entry.coding, rule)
            rewrite.set(entry, measures: MergedLayer.measureNames) { () throws(CrayonError) in
                let stored = try weights.stored(work.weight, over: whole, in: base)
                let result = try weights.merge(module, into: stored, named: work.weight.name, rule: rule)
                return (result.weight, result.layer.measures)
            }
        case .bias(let module, let whole):
            rewrite.set(entry) { () throws(CrayonError) in
                let stored = try weights.stored(work.weight, over: whole, in: base)
                return (.dense(try weights.addBias(of: module, to: stored, named: work.weight.name)), [:])
            }
        case .replacement(let tensor):
            rewrite.set(entry) { () throws(CrayonError) in
                (try weights.stored(work.weight, over: tensor, in: base), [:])
            }
        }
    }

    /// How a merged weight is stored.
    private func coding(_ base: BundleCoding, _ rule: Dynamic8Kernel.Rule) throws(CrayonError) -> BundleCoding {
        if let type = merge.options.into.denseType {
            let isPacked = Shape(base.shape).count * type.byteCount >= PackedTensor.leastByteCount
            return BundleCoding(
                kind: isPacked ? .packed : .plain, sourceType: base.sourceType, type: type, shape: Shape(base.shape),
                blockSize: isPacked ? PackedTensor.blockElements : nil)
        }
        guard merge.options.into == .nf4, base.kind != .nf4 else { return base }
        let quantizer = try NF4Quantizer(scaleCodes: rule)
        return BundleCoding(
            kind: .nf4, sourceType: base.sourceType, type: base.type == .f64 ? .f32 : base.type,
            shape: Shape(base.shape), blockSize: quantizer.blockSize, nestedBlockSize: quantizer.nestedBlockSize,
            codeRule: rule.rawValue)
    }
}

extension BundleReader {
    /// How far the bundle is from the answers that it carries.
    fileprivate func measureProbes() throws(CrayonError) -> [String: Double] {
        let network = try VisionLanguageModel(source: self)
        var errors: [String: Double] = [:]
        for stored in probes {
            let tensors = stored.tensors.map { $0.tensor.named($0.field) }
            let probe = try Probe(
                TensorList(place: "\(place): probe '\(stored.name)'", tensors: tensors), for: configuration)
            errors[stored.name] = try network.compare(probe).relativeError
        }
        return errors
    }
}

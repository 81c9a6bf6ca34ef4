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
        var report = MergeReport(base: bundle.place, output: output, adapters: merge.names)
        if let set = merge.mergedSet {
            try rewrite.removeSet(set)
            // A set that acted acts on: the answers are the same but for rounding.
            rewrite.keepsProbes = bundle.configuration.lowRankSets.contains { $0.name == set && $0.isActive }
        } else {
            rewrite.keepsProbes = false
        }
        if !rewrite.keepsProbes, !bundle.probes.isEmpty {
            report.warnings.append("recorded answers are left out: the merged model is another than the one that gave them")
        }
        var entries: [String: BundleWeight] = [:]
        for entry in bundle.manifest.weights where entry.part != .adapters { entries[entry.sourceName] = entry }
        let plan = try MergePlan(merge.adapter, base: merge.base)
        let weights = WeightMerge(options: merge.options, place: bundle.place)
        for work in plan.works {
            guard let entry = entries[work.weight.name] else { preconditionFailure("a weight of the base") }
            try set(work, entry, weights, in: &rewrite)
        }
        let step = BundleStep(
            kind: "merge", producer: Producer.name, options: options(),
            sources: [
                BundleSource(
                    name: merge.adapter.name, origin: "adapter", byteCount: merge.adapter.byteCount,
                    sha256: try merge.adapter.digest().description)
            ])
        let isProbed = rewrite.keepsProbes && !bundle.probes.isEmpty
        let manifest = try rewrite.write(
            to: output, step: step, resume: resume,
            measure: isProbed ? { (reader) throws(CrayonError) in try reader.measureProbes() } : nil
        ) { tensor, done, total in
            progress(AdapterMerge.Progress(tensor: tensor, done: done, total: total))
        }
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

    private func set(
        _ work: MergePlan.Work, _ entry: BundleWeight, _ weights: WeightMerge, in rewrite: inout BundleRewrite
    ) throws(CrayonError) {
        var entry = entry
        let rule = entry.coding.codeRule.flatMap(Dynamic8Kernel.Rule.init(rawValue:)) ?? .bitsandbytesCPU
        let base = merge.base
        switch work.kind {
        case .pair(let module):
            entry.coding = try coding(entry.coding, rule)
            rewrite.set(entry, measures: MergedLayer.measureNames) { () throws(CrayonError) in
                let result = try weights.merge(module, into: base.stored(work.weight.name), named: work.weight.name, rule: rule)
                return (result.weight, result.layer.measures)
            }
        case .bias(let module):
            rewrite.set(entry) { () throws(CrayonError) in
                (.dense(try weights.addBias(of: module, to: base.stored(work.weight.name), named: work.weight.name)), [:])
            }
        case .replacement(let tensor):
            guard entry.coding.kind == .plain || entry.coding.kind == .packed else {
                throw CrayonError(
                    .unsupported, in: merge.adapter.place, item: "tensor '\(tensor.name)'",
                    found: "a whole weight in the place of one that is \(entry.coding.label) in the bundle",
                    expected: "a weight that the bundle keeps in 16 or 32 bits",
                    advice: "Merge into the checkpoint that the bundle was made from, and quantize that.")
            }
            let type = entry.coding.type
            rewrite.set(entry) { () throws(CrayonError) in
                (.dense(try weights.cast(tensor, to: type, named: work.weight.name)), [:])
            }
        }
    }

    /// How a merged weight is stored.
    private func coding(_ base: BundleCoding, _ rule: Dynamic8Kernel.Rule) throws(CrayonError) -> BundleCoding {
        func dense(_ type: ElementType) -> BundleCoding {
            let isPacked = Shape(base.shape).count * type.byteCount >= 4096
            return BundleCoding(
                kind: isPacked ? .packed : .plain, sourceType: base.sourceType, type: type, shape: Shape(base.shape),
                blockSize: isPacked ? PackedTensor.blockElements : nil)
        }
        switch merge.options.into {
        case .source: return base
        case .bf16: return dense(.bf16)
        case .f16: return dense(.f16)
        case .f32: return dense(.f32)
        case .nf4:
            guard base.kind != .nf4 else { return base }
            let quantizer = try NF4Quantizer(scaleCodes: rule)
            return BundleCoding(
                kind: .nf4, sourceType: base.sourceType, type: base.type == .f64 ? .f32 : base.type,
                shape: Shape(base.shape), blockSize: quantizer.blockSize, nestedBlockSize: quantizer.nestedBlockSize,
                codeRule: rule.rawValue)
        }
    }

    private func options() -> [String: String] {
        var options = [
            "adapters": merge.names.joined(separator: ", "), "into": merge.options.into.rawValue,
            "rounding": merge.options.source == nil ? merge.options.rounding.rawValue : "from source",
        ]
        if merge.options.rounding == .keep, merge.options.source == nil {
            options["retention"] = "\(merge.options.retention)"
        }
        return options
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

import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Conversion
import Quantization
import Synchronization
import Tensors

/// A merge of a checkpoint into a bundle: each weight is merged as it is converted, so that no merged checkpoint is written in
/// between. The bytes are those of merging into a folder first and quantizing that.
struct ConversionMerge {
    let merge: AdapterMerge
    let checkpoint: any Checkpoint

    func run(
        to output: String, _ progress: @escaping @Sendable (AdapterMerge.Progress) -> Void
    ) throws(CrayonError) -> MergeReport {
        let model = try CheckpointModel.open(merge.base.place)
        let plan = try MergePlan(merge.adapter, base: merge.base)
        var options = merge.options
        options.into = .source
        options.source = nil
        let weights = WeightMerge(options: options, place: checkpoint.place)
        let isQuantized = merge.options.into == .nf4
        let quantizer = try NF4Quantizer()
        let works = Dictionary(uniqueKeysWithValues: plan.works.map { ($0.weight.name, $0) })
        let bound = Set(model.bindings.map(\.sourceName))
        if let stray = plan.works.first(where: { !bound.contains($0.weight.name) }) {
            throw CrayonError(
                .unsupported, in: merge.adapter.place, item: "tensor '\(stray.weight.name)'",
                found: "a change of a tensor that the model does not use", expected: "weights of the model")
        }
        // A merge into codes keeps little of a delta unless it looks at the grid, which bundles are merged with.
        let first = model.bindings.first { $0.entry.encoding != $0.type.rawValue }
        if let first {
            throw CrayonError(
                .unsupported, in: checkpoint.file(of: first.sourceName), item: "tensor '\(first.sourceName)'",
                found: "a weight that is already quantized (\(first.entry.encoding))",
                expected: "16- or 32-bit weights",
                advice: "Make a bundle of it with 'crayon quantize', and merge into that.")
        }
        let layers = Mutex<[MergedLayer]>([])
        let base = merge.base
        let announced = Dictionary(
            uniqueKeysWithValues: plan.works.map {
                (
                    $0.weight.name,
                    Dictionary(uniqueKeysWithValues: MergedLayer.measureNames.map { ($0, BundleRewrite.longest) })
                )
            })
        let step = merge.step(measures: announced)
        let transform = BundleConversion.WeightTransform(announced: step) { (binding) throws(CrayonError) in
            guard let work = works[binding.sourceName] else { return nil }
            let stored = try weights.stored(work.weight, over: work.kind.whole, in: base)
            switch work.kind {
            case .pair(let module, _):
                // What counts is what is retained in the end, in 4 bits.
                let (sum, layer) =
                    isQuantized && binding.part == .backbone
                    ? try weights.sum(module, stored, work.weight.name, for: quantizer)
                    : try weights.sum(module, stored, work.weight.name)
                try weights.check(layer)
                layers.withLock { $0.append(layer) }
                return sum
            case .bias(let module, _): return try weights.addBias(of: module, to: stored, named: work.weight.name)
            case .replacement:
                guard case .dense(let tensor) = stored else { preconditionFailure("cast to the base's type") }
                return tensor
            }
        } check: { [merge] () throws(CrayonError) in
            try merge.checkUnchanged()
        } step: {
            var done = step
            done.measures = Dictionary(uniqueKeysWithValues: layers.withLock { $0 }.map { ($0.name, $0.measures) })
            return done
        }
        var plannedFormats = PrecisionPlan()
        if !isQuantized {
            plannedFormats[.backbone] = WeightFormat(rawValue: merge.options.into.rawValue) ?? .source
        }
        let conversion = BundleConversion(
            options: .init(
                plan: plannedFormats, quantizer: quantizer, int8Quantizer: try Int8Quantizer(),
                transform: transform)
        ) { state in
            guard state.stage == .converting else { return }
            progress(AdapterMerge.Progress(tensor: state.tensor, done: state.done, total: state.total))
        }
        try conversion.run(model, output: output)
        var report = MergeReport(base: checkpoint.place, output: output, adapters: merge.names)
        report.layers = layers.withLock { $0 }
        report.replaced = plan.works.compactMap { if case .pair = $0.kind { nil } else { $0.weight.name } }
        return report
    }
}

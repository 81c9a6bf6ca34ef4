public import Bytes
import Checkpoints
import Foundation
import JSON
import Kernels
import LinearAlgebra
import Quantization
import Tensors

/// Finds the low-rank pairs that make a tuned model of its base.
///
/// Goals: the best pairs of their rank, up to a residual that is printed; memory for one weight's difference at a time; an
/// interrupted run goes on where it stopped and ends in the same bytes. What rounding to the stored types may have
/// made is not taken for something that was learned.
public struct Extraction: Sendable {
    public struct Progress: Sendable {
        /// The module or tensor that is being looked at.
        public var module: String
        /// Elements compared, of all.
        public var done: Int
        public var total: Int
    }

    public let base: any BaseModel
    public let tuned: any BaseModel
    public let options: ExtractionOptions

    public init(base: any BaseModel, tuned: any BaseModel, options: ExtractionOptions) {
        self.base = base
        self.tuned = tuned
        self.options = options
    }

    /// Writes a PEFT folder; nothing stands under `output` before all is known.
    ///
    /// - Parameters:
    ///   - resumes: goes on with an interrupted run of the same inputs and options.
    ///   - progress: called from the calling thread, once for each module.
    /// - Returns: what was found; where that is nothing, nothing is written.
    /// - Throws: `CrayonError` for models that do not match, NaN and infinity, and when the folder cannot be written.
    public func run(
        to output: String, resumes: Bool = false, overwrites: Bool = false, progress: (Progress) -> Void = { _ in }
    ) throws(CrayonError) -> ExtractionReport {
        let plan = try ExtractionPlan(base: base, tuned: tuned, options: options)
        let root = output.count > 1 && output.hasSuffix("/") ? String(output.dropLast()) : output
        let resume = try ResumeFolder(
            output: root,
            fingerprint: JSONObject([
                "job": "extract", "base": .string(base.place), "base_files": base.stamp,
                "tuned": .string(tuned.place), "tuned_files": tuned.stamp,
                "options": .object(options.fingerprint),
            ]), resumes: resumes)
        // What an interrupted run had begun to put there is its own.
        let overwrites = overwrites || resume.goesOn
        let spool = try ExtractionSpool(resume)
        if !overwrites {
            do throws(CrayonError) {
                try PEFTFolder.checkVacant(root)
            } catch {
                spool.remove()
                throw error
            }
        }
        var report = ExtractionReport(base: base.place, tuned: tuned.place, output: output)
        report.onlyInBase = plan.onlyInBase
        report.onlyInTuned = plan.onlyInTuned
        let total = (plan.modules.map(\.weight) + plan.wholes.flatMap(\.self) + plan.others)
            .reduce(0) { $0 + $1.shape.count }
        var done = 0
        func advance(_ name: String, _ count: Int) {
            progress(Progress(module: name, done: done, total: total))
            done += count
        }
        var adapter = Adapter(
            name: "default", place: output, modules: [], baseName: options.baseName ?? base.place)
        do throws(CrayonError) {
            for module in plan.modules {
                advance(module.path, module.weight.shape.count)
                var found = try spool.layer(module.path)
                if found == nil { found = try extract(module, to: spool) }
                guard let layer = found else {
                    report.unchangedCount += 1
                    continue
                }
                report.layers.append(layer)
                if layer.rank > 0 { adapter.modules.append(try spool.module(module, layer)) }
            }
            for weights in plan.wholes {
                advance(weights[0].name, weights.reduce(0) { $0 + $1.shape.count })
                try compare(whole: weights, &adapter, &report)
            }
            for weight in plan.others {
                advance(weight.name, weight.shape.count)
                guard let ratio = try deltaRatio(of: weight) else {
                    report.unchangedCount += 1
                    continue
                }
                report.leftOut.append(.init(name: weight.name, deltaRatio: ratio))
            }
            try base.checkUnchanged()
            try tuned.checkUnchanged()
        } catch {
            // What is finished stays for --resume, unless the input itself is at fault.
            if error.code != .io { spool.remove() }
            throw error
        }
        progress(Progress(module: "", done: total, total: total))
        if !adapter.modules.isEmpty || !adapter.replacements.isEmpty {
            try PEFTFolder.write(adapter, to: root, overwrites: overwrites)
            report.isWritten = true
        }
        spool.remove()
        return report
    }

    /// The pair of one module, put into the spool; nil where the two weights are the same.
    private func extract(
        _ module: ExtractionPlan.Module, to spool: ExtractionSpool
    ) throws(CrayonError) -> ExtractedLayer? {
        let clock = ContinuousClock()
        let start = clock.now
        let difference = try self.difference(module.weight.name)
        let bias = try module.bias.flatMap { (name) throws(CrayonError) in try biasChange(name) }
        guard difference.squaredDelta > 0 || bias != nil else { return nil }
        var factors: ExtractedPair?
        var layer = ExtractedLayer(
            module: module.path, verdict: .roundingOnly, shape: module.weight.shape.dims,
            deltaNorm: difference.squaredDelta.squareRoot(), deltaRatio: difference.deltaRatio, rank: 0, energy: 0,
            residual: 1, firstValue: 0, lastValue: 0, noiseFloor: difference.noiseFloor, hasBias: bias != nil,
            decompositionSeconds: 0, seconds: 0)
        if difference.squaredDelta > 0 {
            let compared = clock.now
            let svd = try decompose(difference, module)
            layer.decompositionSeconds = (clock.now - compared).seconds
            if svd.count > 0 {
                let pair = ExtractedPair(svd, of: difference.delta, kind: module.kind, type: options.type)
                layer.residual = pair.error / layer.deltaNorm
                layer.energy = svd.energy(of: svd.count)
                layer.firstValue = Double(svd.values[0])
                layer.lastValue = Double(svd.values[svd.count - 1])
                factors = pair
            }
        }
        if factors == nil, bias != nil {
            factors = ExtractedPair(zeroFor: module.weight.shape, type: options.type)
        }
        if let factors {
            layer.verdict = .pair
            layer.rank = factors.rank
        }
        layer.seconds = (clock.now - start).seconds
        try spool.keep(layer, factors, bias: bias)
        return layer
    }

    private func decompose(
        _ difference: WeightDifference, _ module: ExtractionPlan.Module
    ) throws(CrayonError) -> SingularValueDecomposition {
        let settings = RandomizedSVDOptions(
            target: options.target, seed: options.seed, floor: difference.noiseFloor,
            limit: options.largestRank ?? .max)
        let item = "tensor '\(module.weight.name)'"
        switch options.method {
        case .randomized:
            return try .randomized(of: difference.delta, options: settings, place: tuned.place, item: item)
        case .full:
            return try SingularValueDecomposition.full(of: difference.delta, place: tuned.place, item: item)
                .cut(to: settings)
        }
    }

    private func difference(_ name: String) throws(CrayonError) -> WeightDifference {
        let old = try base.stored(name)
        let new = try tuned.stored(name)
        let difference = WeightDifference(base: old, tuned: new)
        guard !difference.squaredBase.isFinite || !difference.squaredDelta.isFinite else { return difference }
        for (model, weight) in [(base, old), (tuned, new)] {
            let values = Matrix(rows: weight.rows, columns: weight.columns)
            weight.dequantizeRows(0..<weight.rows, into: values.pointer)
            _ = try MatrixNorm.squared(values, place: model.place, item: "tensor '\(name)'")
        }
        throw CrayonError(
            .notFinite, in: tuned.place, item: "tensor '\(name)'", found: "numbers whose squares overflow",
            expected: "weights of a trained model")
    }

    /// The change of a bias; nil where it is no more than rounding.
    private func biasChange(_ name: String) throws(CrayonError) -> Tensor? {
        let difference = try self.difference(name)
        guard difference.isMoreThanRounding else { return nil }
        let bytes = ByteBuffer(count: difference.delta.count * options.type.byteCount)
        FloatConversion.narrow(
            difference.delta.pointer, count: difference.delta.count, to: options.type, into: bytes.pointer)
        return Tensor(name: "bias", type: options.type, shape: Shape([difference.delta.count]), region: bytes.region)
    }

    /// Tuned tensors of one module, all of them where one differs.
    private func compare(
        whole weights: [BaseWeight], _ adapter: inout Adapter, _ report: inout ExtractionReport
    ) throws(CrayonError) {
        var isChanged = false
        for weight in weights where try difference(weight.name).isMoreThanRounding { isChanged = true }
        guard isChanged else {
            report.unchangedCount += weights.count
            return
        }
        for weight in weights {
            let stored = try tuned.stored(weight.name)
            guard case .dense(let tensor) = stored, tensor.type != .f64 else {
                let values = Matrix(rows: stored.rows, columns: stored.columns)
                stored.dequantizeRows(0..<stored.rows, into: values.pointer)
                let tensor = Tensor(name: weight.name, shape: weight.shape, values: values.values)
                adapter.replacements.append(.init(name: weight.moduleTensorName, tensor: tensor))
                continue
            }
            adapter.replacements.append(.init(name: weight.moduleTensorName, tensor: tensor))
        }
        report.replaced += weights.map(\.name)
    }

    /// |delta| / |base|; nil where the two are the same, or no numbers.
    private func deltaRatio(of weight: BaseWeight) throws(CrayonError) -> Double? {
        if weight.type.isFloat {
            let difference = try self.difference(weight.name)
            return difference.squaredDelta > 0 ? difference.deltaRatio : nil
        }
        guard case .dense(let old) = try base.stored(weight.name),
            case .dense(let new) = try tuned.stored(weight.name),
            old.type != new.type || !old.region.buffer.elementsEqual(new.region.buffer)
        else { return nil }
        return .infinity
    }
}

extension WeightDifference {
    /// For a vector, whose singular value is its norm.
    fileprivate var isMoreThanRounding: Bool { squaredDelta.squareRoot() > 1.5 * noiseNorm }
}

extension BaseWeight {
    /// The tensor's name in the model that an adapter is loaded into.
    fileprivate var moduleTensorName: String { module.map { $0 + ".weight" } ?? name }
}

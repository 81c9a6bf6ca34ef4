import Bytes
import Kernels
import Quantization
import Tensors

/// Merges pairs into weights, one weight at a time.
struct WeightMerge: Sendable {
    let options: MergeOptions
    /// As the user named the base, for errors.
    let place: String
    private let memory = DeltaMemory()

    init(options: MergeOptions, place: String) {
        self.options = options
        self.place = place
    }

    /// What becomes of a weight, without its numbers.
    struct Result: Sendable {
        let weight: StoredWeight
        let layer: MergedLayer
    }

    /// - Parameters:
    ///   - rule: how the base's 8-bit scale codes were chosen, where that is known.
    /// - Throws: `CrayonError` naming the weight for results that are not finite, for a 16-bit source that is none of this
    ///   base, and when less of the delta is retained than was asked for.
    func merge(
        _ module: AdapterModule, into base: StoredWeight, named name: String,
        rule: Dynamic8Kernel.Rule = .bitsandbytesCPU
    ) throws(CrayonError) -> Result {
        let result: Result
        switch (options.into, base) {
        case (.source, .dense(let tensor)):
            result = try add(module, base, name, as: tensor.type)
        case (.bf16, _), (.f16, _), (.f32, _):
            result = try add(module, base, name, as: options.into.denseType ?? base.sourceType)
        case (.source, .int8(let tensor)):
            guard tensor.quantType == .dynamic8 else { throw notMade(name, "LLM.int8()'s 8-bit integers") }
            result = try requantize(module, tensor, name, rule)
        case (.source, .nf4(let tensor)) where tensor.quantType != .nf4: throw notMade(name, "FP4")
        case (.source, .nf4(let tensor)),
            (.nf4, .nf4(let tensor)) where tensor.quantType == .nf4:
            result = try merge(module, into: tensor, name, rule)
        case (.nf4, .dense), (.nf4, .int8), (.nf4, .nf4):
            let (_, quantized, layer) = try quantize(module, base, name, NF4Quantizer(scaleCodes: rule), stored: nil)
            result = Result(weight: .nf4(quantized), layer: layer)
        }
        try check(result.layer)
        return result
    }

    /// Codings that are read and carried, and that no quantizer here makes.
    private func notMade(_ name: String, _ coding: String) -> CrayonError {
        CrayonError(
            .unsupported, in: place, item: "tensor '\(name)'", found: "a merge into \(coding)",
            expected: "a weight in NF4, 8-bit blocks or 16 bits",
            advice: "Give --into nf4 or --into bf16, or keep the pair beside the weight (--rounding beside).")
    }

    /// Holds a weight against what it must retain at least.
    func check(_ layer: MergedLayer) throws(CrayonError) {
        guard let least = options.failBelow, layer.deltaRatio > 0, layer.retained < least else { return }
        throw CrayonError(
            .mismatch, in: place, item: "tensor '\(layer.name)'",
            found: "\(Self.percent(layer.retained)) of the delta retained",
            expected: "\(Self.percent(least)) at least, by --fail-below",
            advice: "Merge into 16 bits, from the 16-bit source, or keep the pair beside the weight.")
    }

    /// A weight with its delta, in its own type.
    func sum(
        _ module: AdapterModule, _ base: StoredWeight, _ name: String
    ) throws(CrayonError) -> (sum: Tensor, layer: MergedLayer) {
        let target = try MergeTarget(module, base: base, place: place)
        let (sum, sums) = try DenseMerge(type: base.sourceType).merge(target, name: name, place: place)
        return (sum, MergedLayer(name, .added, sums))
    }

    /// A weight with its delta, in its own type, and what is retained once that is quantized.
    /// - Parameter stored: the weight without the delta as it was quantized; made here where it is not at hand.
    func sum(
        _ module: AdapterModule, _ base: StoredWeight, _ name: String, for quantizer: NF4Quantizer,
        stored: NF4Tensor? = nil
    ) throws(CrayonError) -> (sum: Tensor, layer: MergedLayer) {
        let (sum, _, layer) = try quantize(module, base, name, quantizer, stored: stored)
        return (sum, layer)
    }

    /// A weight of the base, or the whole one that the adapter brings in its place, in the base's type as PEFT loads it.
    func stored(_ weight: BaseWeight, over whole: Tensor?, in base: any BaseModel) throws(CrayonError) -> StoredWeight {
        guard let whole else { return try base.stored(weight.name) }
        return .dense(try cast(whole, to: weight.type, named: weight.name))
    }

    /// A module's bias with that of its pair added: in float32, rounded once, as PEFT does for a dense layer.
    func addBias(
        of module: AdapterModule, to base: StoredWeight, named name: String
    ) throws(CrayonError) -> Tensor {
        guard let bias = module.bias, case .dense(let tensor) = base else {
            preconditionFailure("biases are never quantized")
        }
        let count = tensor.shape.count
        var values = [Float](repeating: 0, count: count)
        var added = values
        FloatConversion.widen(tensor, elements: 0..<count, into: &values)
        FloatConversion.widen(bias, elements: 0..<count, into: &added)
        VectorMath.scale(&added, by: Float(module.scale), count: count)
        VectorMath.add(added, into: &values, count: count)
        return try cast(Tensor(name: name, shape: tensor.shape, values: values), to: tensor.type, named: name)
    }

    /// A tensor in another float type; the same one where it has it already.
    func cast(_ tensor: Tensor, to type: ElementType, named name: String) throws(CrayonError) -> Tensor {
        guard tensor.type != type else { return tensor.named(name) }
        let count = tensor.shape.count
        let result = ByteBuffer(count: count * type.byteCount)
        try Parallel.forEachRange(of: count, size: 1 << 18) { (range) throws(CrayonError) in
            try withFloats(range.count) { (values) throws(CrayonError) in
                FloatConversion.widen(tensor, elements: range, into: values)
                let target = result.pointer + range.lowerBound * type.byteCount
                if type == .f64 {
                    for index in 0..<range.count {
                        target.storeBytes(of: Double(values[index]), toByteOffset: index * 8, as: Double.self)
                    }
                    return
                }
                let finite = (0..<range.count).allSatisfy { values[$0].isFinite }
                FloatConversion.narrow(values, count: range.count, to: type, into: target)
                FloatConversion.widen(target, type: type, count: range.count, into: values)
                if finite, (0..<range.count).contains(where: { !values[$0].isFinite }) {
                    throw DenseMerge.notFinite(values, range, type, name: name, place: place)
                }
            }
        }
        return Tensor(name: name, type: type, shape: tensor.shape, region: result.region)
    }

    static func percent(_ share: Double) -> String { "\((share * 1000).rounded() / 10) %" }

    private func add(
        _ module: AdapterModule, _ base: StoredWeight, _ name: String, as type: ElementType
    ) throws(CrayonError) -> Result {
        // A weight of the same checkpoint that no pair changes is rounded once, too.
        let target = try MergeTarget(module, base: base, roundsBase: type == base.sourceType, place: place)
        let (tensor, sums) = try DenseMerge(type: type)
            .merge(target, in: memory.results, name: name, place: place)
        return Result(weight: .dense(tensor), layer: MergedLayer(name, .added, sums))
    }

    private func merge(
        _ module: AdapterModule, into base: NF4Tensor, _ name: String, _ rule: Dynamic8Kernel.Rule
    ) throws(CrayonError) -> Result {
        if let source = options.source {
            let weight = try source.stored(name)
            try checkSource(weight, of: base, name, source.place)
            var nested: Int?
            if case .double(let scales) = base.scales { nested = scales.nestedBlockSize }
            let quantizer = try NF4Quantizer(
                blockSize: base.blockSize, doubleQuantization: nested != nil, nestedBlockSize: nested ?? 256,
                scaleCodes: rule)
            let (_, quantized, layer) = try quantize(module, weight, name, quantizer, stored: base)
            return Result(weight: .nf4(quantized), layer: layer)
        }
        let target = try MergeTarget(module, base: .nf4(base), place: place)
        let merged =
            switch options.rounding {
            case .keep:
                try KeepingRounder(retention: options.retention).merge(
                    base, adding: HeldDelta(target, in: memory).source, in: memory, name: name, place: place)
            case .plain:
                // The change is looked at once, while it is in the cache.
                try PlainRequantization(scaleCodes: rule).merge(
                    base, adding: DeltaSource { target.fillChange($0, into: $1) }, in: memory, name: name, place: place)
            case .beside: preconditionFailure("nothing is merged then")
            }
        return Result(weight: .nf4(merged.tensor), layer: MergedLayer(name, merged))
    }

    /// Adds to a weight that was not quantized, rounds the sum to its type, and quantizes that: the bytes that quantizing
    /// the merged checkpoint gives.
    private func quantize(
        _ module: AdapterModule, _ base: StoredWeight, _ name: String, _ quantizer: NF4Quantizer, stored: NF4Tensor?
    ) throws(CrayonError) -> (sum: Tensor, quantized: NF4Tensor, layer: MergedLayer) {
        let target = try MergeTarget(module, base: base, place: place)
        let type = base.sourceType
        let (sum, sums) = try DenseMerge(type: type)
            .merge(target, in: memory.results, name: name, place: place)
        let quantized = try quantizer.quantize(sum, place: place)
        let before: NF4Tensor
        if let stored {
            before = stored
        } else if case .dense(let tensor) = base {
            before = try quantizer.quantize(tensor, place: place)
        } else {
            before = try quantizer.quantize(base.tensor(named: name), place: place)
        }
        let statistics = try MergeStatistics.measure(
            base: before, merged: quantized, delta: HeldDelta(target, in: memory).source, name: name,
            place: place)
        var layer = MergedLayer(name, .fromSource, sums)
        layer.retained = statistics.retention
        layer.largestChange = statistics.largestChange
        layer.relativeError = DenseWeight.relativeError(quantized, from: sum)
        return (sum, quantized, layer)
    }

    private func requantize(
        _ module: AdapterModule, _ base: Int8Tensor, _ name: String, _ rule: Dynamic8Kernel.Rule
    ) throws(CrayonError) -> Result {
        let target = try MergeTarget(module, base: .int8(base), place: place)
        let (sum, _) = try DenseMerge(type: .f32).merge(target, name: name, place: place)
        let quantized = try Int8Quantizer(blockSize: base.blockSize, rule: rule).quantize(sum, place: place)
        let result = try Int8Tensor(
            shape: base.shape, blockSize: base.blockSize, codes: quantized.codes, absmax: quantized.absmax,
            sourceType: base.sourceType, name: name, place: place)
        let sums = DenseWeight.compare(.int8(result), with: target)
        return Result(weight: .int8(result), layer: MergedLayer(name, .requantized, sums))
    }

    /// That a 16-bit weight is the one that the 4-bit one was made from: NF4's error on weights is 8 to 12 % of their norm.
    private func checkSource(
        _ weight: StoredWeight, of base: NF4Tensor, _ name: String, _ sourcePlace: String
    ) throws(CrayonError) {
        guard case .dense(let tensor) = weight else {
            throw CrayonError(
                .mismatch, in: sourcePlace, item: "tensor '\(name)'", found: "a quantized weight",
                expected: "the 16-bit weights that the base was made from")
        }
        let statistics = try ErrorStatistics.compare(.nf4(base), with: tensor, place: sourcePlace)
        guard statistics.relativeError < 0.25 else {
            throw CrayonError(
                .mismatch, in: sourcePlace, item: "tensor '\(name)'",
                found: "weights that are \(Self.percent(statistics.relativeError)) away from the base's",
                expected: "those that \(place) was quantized from",
                advice: "Name the checkpoint that the base was made from, or leave out --source.")
        }
    }
}

/// Comparisons of stored weights, a run at a time.
enum DenseWeight {
    /// |stored - reference| / |reference|
    static func relativeError(_ stored: NF4Tensor, from reference: Tensor) -> Double {
        (try? ErrorStatistics.compare(.nf4(stored), with: reference, place: reference.name).relativeError) ?? .nan
    }

    /// What a merge's result is to its target.
    static func compare(_ result: StoredWeight, with target: MergeTarget) -> MergeSums {
        let size = DenseMerge.runSize(columns: result.columns)
        let runs = Parallel.mapRanges(of: result.shape.count, size: size) { range in
            var sums = MergeSums()
            withFloats(4 * range.count) { scratch in
                let delta = scratch + range.count
                let sum = delta + range.count
                let stored = sum + range.count
                target.fill(range, base: scratch, delta: delta, target: sum)
                result.dequantize(elements: range, into: stored)
                sums = MergeSums(base: scratch, delta: delta, merged: stored, count: range.count)
            }
            return sums
        }
        return runs.reduce(into: MergeSums()) { $0 += $1 }
    }
}

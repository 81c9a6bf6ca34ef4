import Bytes
import Kernels
import Quantization
import Tensors

/// What a merged weight should be, in float32, a run of elements at a time: base + delta, or what DoRA makes of it.
struct MergeTarget: Sendable {
    let base: StoredWeight
    private let delta: WeightDelta
    /// DoRA's factor of each of the module's outputs.
    private let factors: [Float]?
    /// Outputs are columns of a weight that lies as `[in, out]`.
    private let outputsAreColumns: Bool
    /// Quantized weights come back in the type that they had, as bitsandbytes gives them to whoever asks.
    private let roundsBase: Bool
    /// PEFT rounds an embedding's delta to the type of the table.
    private let deltaType: ElementType?

    /// - Parameter roundsBase: whether a quantized base is rounded to the type that it had before it is added to. What becomes
    ///   another type, float32 say, is better off without.
    /// - Throws: `CrayonError` when a packed factor is damaged, or DoRA meets an output that is all zero.
    init(
        _ module: AdapterModule, base: StoredWeight, roundsBase: Bool = true, place: String
    ) throws(CrayonError) {
        delta = try WeightDelta(module)
        self.base = base
        self.roundsBase = roundsBase
        outputsAreColumns = module.isTransposed
        let type = base.sourceType
        deltaType = module.kind == .embedding && (type == .bf16 || type == .f16) ? type : nil
        precondition(delta.rows == base.rows && delta.columns == base.columns)
        guard let magnitude = module.magnitude else {
            factors = nil
            return
        }
        guard module.kind == .linear else {
            throw CrayonError(
                .unsupported, in: place, item: "module '\(module.path)'", found: "DoRA on an embedding",
                expected: "DoRA on linear layers")
        }
        factors = try Self.factors(
            magnitude, base: base, roundsBase, delta: delta, outputsAreColumns: outputsAreColumns, item: module.path,
            place: place)
    }

    /// Fills in a run: the base, as bitsandbytes and PyTorch would widen it if it is to be rounded, the change that the merge
    /// should make, and their sum as PEFT would compute it.
    /// - Precondition: the range lies inside the weight; each pointer has room for as many elements.
    func fill(
        _ elements: Range<Int>, base weight: UnsafeMutablePointer<Float>, delta change: UnsafeMutablePointer<Float>,
        target: UnsafeMutablePointer<Float>
    ) {
        let count = elements.count
        Self.widen(base, roundsBase, elements, into: weight)
        fillDelta(elements, into: change)
        target.update(from: weight, count: count)
        VectorMath.add(change, into: target, count: count)
        guard let factors else { return }
        for index in 0..<count {
            let at = elements.lowerBound + index
            target[index] *= factors[outputsAreColumns ? at % delta.columns : at / delta.columns]
            change[index] = target[index] - weight[index]
        }
    }

    /// Whether the merged weight is base + change and nothing more: no DoRA.
    var isSum: Bool { factors == nil }

    /// The change alone; the base is read only where DoRA needs it.
    func fillChange(_ elements: Range<Int>, into change: UnsafeMutablePointer<Float>) {
        guard factors != nil else { return fillDelta(elements, into: change) }
        withFloats(2 * elements.count) { scratch in
            fill(elements, base: scratch, delta: change, target: scratch + elements.count)
        }
    }

    private func fillDelta(_ elements: Range<Int>, into change: UnsafeMutablePointer<Float>) {
        delta.fill(elements, into: change)
        if let deltaType { WeightDelta.round(change, count: elements.count, to: deltaType) }
    }

    private static func widen(
        _ base: StoredWeight, _ roundsBase: Bool, _ elements: Range<Int>, into target: UnsafeMutablePointer<Float>
    ) {
        base.dequantize(elements: elements, into: target)
        if case .dense = base { return }
        if roundsBase, base.sourceType != .f32 { WeightDelta.round(target, count: elements.count, to: base.sourceType) }
    }

    /// magnitude over the norm of each output of base + delta (Liu et al. 2024, equation 5).
    private static func factors(
        _ magnitude: Tensor, base: StoredWeight, _ roundsBase: Bool, delta: WeightDelta, outputsAreColumns: Bool,
        item: String, place: String
    ) throws(CrayonError) -> [Float] {
        let columns = delta.columns
        let rowsOfRun = max(1, (1 << 16) / columns)
        let runs = (delta.rows + rowsOfRun - 1) / rowsOfRun
        let outputs = outputsAreColumns ? columns : delta.rows
        // A row's sum is its run's alone; a column's is gathered over the runs, in their order.
        let partial = outputsAreColumns ? runs * columns : delta.rows
        let sums = UnsafeMutablePointer<Double>.allocate(capacity: partial)
        defer { sums.deallocate() }
        sums.initialize(repeating: 0, count: partial)
        Parallel.forEach(count: runs) { run in
            let rows = run * rowsOfRun..<min((run + 1) * rowsOfRun, delta.rows)
            let elements = rows.lowerBound * columns..<rows.upperBound * columns
            withFloats(2 * elements.count) { scratch in
                let change = scratch + elements.count
                widen(base, roundsBase, elements, into: scratch)
                delta.fill(elements, into: change)
                VectorMath.add(change, into: scratch, count: elements.count)
                for index in 0..<elements.count {
                    let value = Double(scratch[index])
                    let at = outputsAreColumns ? run * columns + index % columns : rows.lowerBound + index / columns
                    sums[at] += value * value
                }
            }
        }
        var norms = [Double](repeating: 0, count: outputs)
        for index in 0..<partial { norms[outputsAreColumns ? index % columns : index] += sums[index] }
        var factors = [Float](repeating: 0, count: outputs)
        FloatConversion.widen(magnitude, elements: 0..<outputs, into: &factors)
        for output in 0..<outputs {
            let norm = Float(norms[output].squareRoot())
            guard norm > 0 else {
                throw CrayonError(
                    .unsupported, in: place, item: "module '\(item)'",
                    found: "output \(output) with a weight of zero, which DoRA cannot scale",
                    expected: "a base whose outputs all have weights")
            }
            factors[output] /= norm
        }
        return factors
    }
}

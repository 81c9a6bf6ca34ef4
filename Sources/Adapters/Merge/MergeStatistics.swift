import Bytes
import Kernels
import Quantization
import Tensors

/// What a merge into a 4-bit weight kept, and what it cost. Norms are Frobenius norms; W is the base as it is stored.
public struct MergeStatistics: Sendable, Equatable {
    public let weightNorm: Double
    public let deltaNorm: Double
    /// The share of the change that is there along its own direction: <merged - W, delta> / |delta|^2. 1 for no change.
    public let retention: Double
    /// |merged - (W + delta)| / |W + delta|
    public let relativeError: Double
    /// |merged - (W + delta)|
    public let errorNorm: Double
    /// That over plain requantization's; nil where it was not compared.
    public internal(set) var errorOverPlain: Double?
    /// The largest change of an element.
    public let largestChange: Double
    /// Shares of the elements whose code changed, and of the blocks whose scale did.
    public let changedCodes: Double
    public let changedScales: Double

    /// |delta| / |W|; 0 when both are zero.
    public var deltaRatio: Double { deltaNorm == 0 ? 0 : deltaNorm / weightNorm }

    /// Compares a merged weight with its base and the change, on all cores; the result does not depend on their number.
    /// - Precondition: the two tensors agree in shape and block size.
    /// - Throws: what the source of the change throws, and for a change that is not finite.
    static func measure(
        base: NF4Tensor, merged: NF4Tensor, delta: DeltaSource, name: String, place: String
    ) throws(CrayonError) -> MergeStatistics {
        let size = DeltaSource.runSize(columns: base.shape.columns, blockSize: base.blockSize)
        let runs = try Parallel.mapRanges(of: base.shape.count, size: size) {
            (range) throws(CrayonError) -> BlockChanges.Totals in
            try delta.withChange(range) { (change) throws(CrayonError) in
                let records = BlockChanges(capacity: (range.count - 1) / base.blockSize + 1)
                base.record(merged, elements: range, delta: change, in: records)
                let totals = base.totals(
                    merged, elements: range, of: records, first: range.lowerBound / base.blockSize)
                guard totals.sums.squaredDelta.isFinite else {
                    throw DeltaSource.notFinite(in: change, elements: range, name: name, place: place)
                }
                return totals
            }
        }
        return MergeStatistics(runs, base: base)
    }

    /// - Parameter runs: sums over all of the base.
    init(_ runs: [BlockChanges.Totals], base: NF4Tensor) {
        let total = runs.reduce(into: BlockChanges.Totals()) { $0 += $1 }
        let values = total.sums
        weightNorm = values.squaredBase.squareRoot()
        deltaNorm = values.squaredDelta.squareRoot()
        retention = values.squaredDelta > 0 ? values.deltaChange / values.squaredDelta : 1
        errorNorm = max(values.squaredError, 0).squareRoot()
        relativeError = errorNorm == 0 ? 0 : errorNorm / values.squaredTarget.squareRoot()
        largestChange = Double(values.largestChange)
        changedCodes = Double(total.codes) / Double(base.shape.count)
        changedScales = Double(total.scales) / Double(base.blockCount)
    }
}

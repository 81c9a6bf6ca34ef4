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
        let count = base.shape.count
        let size = 1 << 16
        let results = try Parallel.mapRanges(of: count, size: size) { (range) throws(CrayonError) -> Sums in
            var sums = Sums()
            try withFloats(3 * range.count) { (scratch) throws(CrayonError) in
                let change = scratch
                let before = scratch + range.count
                let after = before + range.count
                try delta.fill(range, into: change)
                base.dequantize(elements: range, into: before)
                merged.dequantize(elements: range, into: after)
                sums.values = MergeSums(base: before, delta: change, merged: after, count: range.count)
                guard sums.values.squaredDelta.isFinite else {
                    throw DeltaSource.notFinite(in: change, elements: range, name: name, place: place)
                }
                sums.codes = countChangedCodes(base.codes, merged.codes, elements: range)
                sums.scales = countChangedScales(base, merged, elements: range)
            }
            return sums
        }
        return MergeStatistics(results.reduce(into: Sums()) { $0.add($1) }, count: count, blocks: base.blockCount)
    }

    private init(_ sums: Sums, count: Int, blocks: Int) {
        let values = sums.values
        weightNorm = values.squaredBase.squareRoot()
        deltaNorm = values.squaredDelta.squareRoot()
        retention = values.squaredDelta > 0 ? values.deltaChange / values.squaredDelta : 1
        errorNorm = values.squaredError.squareRoot()
        relativeError = errorNorm == 0 ? 0 : errorNorm / values.squaredTarget.squareRoot()
        largestChange = Double(values.largestChange)
        changedCodes = Double(sums.codes) / Double(count)
        changedScales = Double(sums.scales) / Double(blocks)
    }
}

/// Sums over some elements.
private struct Sums {
    var values = MergeSums()
    var codes = 0
    var scales = 0

    mutating func add(_ other: Sums) {
        values += other.values
        codes += other.codes
        scales += other.scales
    }
}

/// How many elements differ in code; the range starts at an even one.
private func countChangedCodes(_ a: ByteRegion, _ b: ByteRegion, elements: Range<Int>) -> Int {
    let first = elements.lowerBound / 2
    return MergeSums.changedCodes(
        a.baseAddress.assumingMemoryBound(to: UInt8.self) + first,
        b.baseAddress.assumingMemoryBound(to: UInt8.self) + first, bytes: (elements.upperBound + 1) / 2 - first)
}

/// How many blocks that start in the range differ in the value of their scale.
private func countChangedScales(_ a: NF4Tensor, _ b: NF4Tensor, elements: Range<Int>) -> Int {
    let size = a.blockSize
    let blocks = (elements.lowerBound + size - 1) / size..<(elements.upperBound + size - 1) / size
    guard !blocks.isEmpty else { return 0 }
    return withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * blocks.count) { scales in
        guard let before = scales.baseAddress else { return 0 }
        let after = before + blocks.count
        a.scales(ofBlocks: blocks, into: before)
        b.scales(ofBlocks: blocks, into: after)
        return (0..<blocks.count).count { before[$0].bitPattern != after[$0].bitPattern }
    }
}

public import Bytes
public import Kernels
public import Quantization
import Tensors

/// A merged 4-bit weight and what is known about it.
public struct MergedWeight: Sendable {
    public enum Method: String, Sendable {
        /// Dequantized, changed, quantized again.
        case requantized
        /// Rounded so that the change is kept.
        case kept
    }

    public let tensor: NF4Tensor
    public let method: Method
    public internal(set) var statistics: MergeStatistics
    /// What each share of the change would cost; nil unless it was asked for.
    public internal(set) var curve: [KeepingRounder.CurvePoint]?
}

/// The merge that peers do: dequantize to the weight's type, add the change in float32, quantize with the same block
/// sizes. The bytes are bitsandbytes' of `quantize_4bit(dequantize_4bit(W).float() + delta)`.
public struct PlainRequantization: Sendable {
    /// How scales become codes; block sizes and nesting are the base's.
    public var scaleCodes: Dynamic8Kernel.Rule

    public init(scaleCodes: Dynamic8Kernel.Rule = .bitsandbytesCPU) { self.scaleCodes = scaleCodes }

    /// Merges a change, on all cores, a tile at a time.
    /// - Parameters:
    ///   - name: the tensor's, for errors; `place`: the file's.
    /// - Throws: `CrayonError` for a change that is not finite, or too large for float32 or for the mean of the scales.
    public func merge(
        _ base: NF4Tensor, adding delta: DeltaSource, name: String, place: String
    ) throws(CrayonError) -> MergedWeight {
        try merge(base, adding: delta, in: DeltaMemory(), name: name, place: place)
    }

    /// - Parameter memory: for the records of the blocks.
    func merge(
        _ base: NF4Tensor, adding delta: DeltaSource, in memory: DeltaMemory, name: String, place: String
    ) throws(CrayonError) -> MergedWeight {
        var nestedBlockSize: Int?
        if case .double(let scales) = base.scales { nestedBlockSize = scales.nestedBlockSize }
        let quantizer = try NF4Quantizer(
            blockSize: base.blockSize, doubleQuantization: nestedBlockSize != nil,
            nestedBlockSize: nestedBlockSize ?? 256, scaleCodes: scaleCodes)
        let count = base.shape.count
        let codes = ByteBuffer(uninitialized: base.codes.count, from: memory.results)
        let absmax = ByteBuffer(uninitialized: base.blockCount * 4, from: memory.results)
        let codePointer = codes.pointer.assumingMemoryBound(to: UInt8.self)
        let absmaxPointer = absmax.pointer.assumingMemoryBound(to: Float.self)
        let changes = memory.changes(ofBlocks: base.blockCount)
        let size = DeltaSource.runSize(columns: base.shape.columns, blockSize: base.blockSize)
        try Parallel.forEachRange(of: count, size: size) { (range) throws(CrayonError) in
            try delta.withChange(range) { (change) throws(CrayonError) in
                let bad = base.requantize(
                    elements: range, adding: change, codes: codePointer + range.lowerBound / 2,
                    absmax: absmaxPointer + range.lowerBound / base.blockSize, recording: changes)
                guard let bad else { return }
                throw DeltaSource.notFinite(change[bad], element: range.lowerBound + bad, name: name, place: place)
            }
        }
        let tensor = try NF4Tensor(
            shape: base.shape, blockSize: base.blockSize, codes: codes.region,
            scales: quantizer.quantizeScales(absmax.region, name: name, place: place), sourceType: base.sourceType,
            name: name, place: place)
        let runs = Parallel.mapRanges(of: count, size: 1 << 20) {
            base.totals(tensor, elements: $0, of: changes)
        }
        return MergedWeight(tensor: tensor, method: .requantized, statistics: MergeStatistics(runs, base: base))
    }
}

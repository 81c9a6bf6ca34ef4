public import Bytes
public import Kernels
public import Tensors

/// Makes `NF4Tensor`s, bit for bit as bitsandbytes 0.50 does on a CPU with one thread.
///
/// Whole tensors in memory go through `quantize(_:place:)`. A converter that streams calls `quantizeBlocks` for
/// runs of whole blocks, from as many threads as it likes, and `quantizeScales` once at the end: the offset of double
/// quantization is a mean over all scales.
public struct NF4Quantizer: Sendable, Hashable {
    public var blockSize: Int
    public var doubleQuantization: Bool
    public var nestedBlockSize: Int
    public var scaleCodes: Dynamic8Kernel.Rule

    /// - Throws: `CrayonError` for a block size that bitsandbytes does not know.
    public init(
        blockSize: Int = 64, doubleQuantization: Bool = true, nestedBlockSize: Int = 256,
        scaleCodes: Dynamic8Kernel.Rule = .bitsandbytesCPU
    ) throws(CrayonError) {
        guard NF4Tensor.blockSizes.contains(blockSize) else {
            throw CrayonError(
                .usage, in: "block size", found: "\(blockSize)",
                expected: "one of \(NF4Tensor.blockSizes.map(String.init).joined(separator: ", "))")
        }
        guard nestedBlockSize > 0, nestedBlockSize <= Dynamic8Kernel.largestBlock else {
            throw CrayonError(
                .usage, in: "nested block size", found: "\(nestedBlockSize)",
                expected: "1 to \(Dynamic8Kernel.largestBlock)")
        }
        self.blockSize = blockSize
        self.doubleQuantization = doubleQuantization
        self.nestedBlockSize = nestedBlockSize
        self.scaleCodes = scaleCodes
    }

    public func blockCount(of count: Int) -> Int { count / blockSize + (count % blockSize == 0 ? 0 : 1) }

    /// Quantizes a tensor of F32, F16, BF16, or F64 (rounded to F32 first) on all cores.
    /// - Throws: `CrayonError` naming tensor and index for NaN or infinity; for other types and empty tensors.
    public func quantize(_ tensor: Tensor, place: String = "quantize") throws(CrayonError) -> NF4Tensor {
        try requireFloats(tensor, place: place)
        let count = tensor.shape.count
        let codes = ByteBuffer(uninitialized: count / 2 + count % 2)
        let absmax = ByteBuffer(uninitialized: blockCount(of: count) * 4)
        let codePointer = codes.pointer.assumingMemoryBound(to: UInt8.self)
        let absmaxPointer = absmax.pointer.assumingMemoryBound(to: Float.self)
        // A multiple of every block size, and small enough to share out evenly.
        try Parallel.forEachRange(of: count, size: 1 << 18) { (range) throws(CrayonError) in
            try quantizeBlocks(
                of: tensor, elements: range, codes: codePointer + range.lowerBound / 2,
                absmax: absmaxPointer + range.lowerBound / blockSize, place: place)
        }
        return try NF4Tensor(
            shape: tensor.shape, blockSize: blockSize, codes: codes.region,
            scales: quantizeScales(absmax.region, name: tensor.name, place: place),
            sourceType: tensor.type == .f64 ? .f32 : tensor.type, name: tensor.name, place: place)
    }

    /// Quantizes a run of whole blocks of a tensor into the caller's memory.
    ///
    /// - Parameters:
    ///   - elements: starts at a multiple of the block size, and ends at one or at the tensor's end.
    ///   - codes: `(elements.count + 1) / 2` bytes.
    ///   - absmax: a scale for each block of the run.
    /// - Throws: `CrayonError` naming tensor and index for NaN or infinity, and for a type that is no float type.
    public func quantizeBlocks(
        of tensor: Tensor, elements: Range<Int>, codes: UnsafeMutablePointer<UInt8>,
        absmax: UnsafeMutablePointer<Float>, place: String
    ) throws(CrayonError) {
        try tensor.readBlocks(elements, of: blockSize, place: place) { source, type in
            NF4Kernel.quantize(
                source, type: type, count: elements.count, blockSize: blockSize, codes: codes, absmax: absmax)
        }
    }

    /// The scales of a whole tensor: kept, or quantized once more.
    /// - Parameter absmax: F32 `[blocks]`, kept by reference without double quantization.
    /// - Throws: `CrayonError` when the scales are so large that their mean overflows.
    public func quantizeScales(
        _ absmax: ByteRegion, name: String, place: String
    ) throws(CrayonError) -> NF4Tensor.Scales {
        let blocks = absmax.count / 4
        precondition(blocks > 0 && absmax.count % 4 == 0)
        guard doubleQuantization else { return .single(absmax: absmax) }
        // Mapped files promise no alignment; the mean wants floats.
        let aligned = UInt(bitPattern: absmax.baseAddress) % 4 == 0 ? absmax : ByteRegion(copying: absmax.buffer)
        let values = aligned.baseAddress.assumingMemoryBound(to: Float.self)
        let offset = NF4Kernel.offset(absmax: values, count: blocks)
        let codes = ByteBuffer(uninitialized: blocks)
        let nested = ByteBuffer(uninitialized: ((blocks - 1) / nestedBlockSize + 1) * 4)
        let codePointer = codes.pointer.assumingMemoryBound(to: UInt8.self)
        let nestedPointer = nested.pointer.assumingMemoryBound(to: Float.self)
        let runs = withExtendedLifetime(aligned) {
            Parallel.mapRanges(of: blocks, size: max(1, (1 << 14) / nestedBlockSize) * nestedBlockSize) { range in
                Dynamic8Kernel.quantize(
                    values + range.lowerBound, type: .f32, count: range.count, blockSize: nestedBlockSize,
                    offset: offset, rule: scaleCodes, codes: codePointer + range.lowerBound,
                    absmax: nestedPointer + range.lowerBound / nestedBlockSize) == nil
            }
        }
        guard runs.allSatisfy(\.self), offset.isFinite else {
            throw CrayonError(
                .notFinite, in: place, item: "tensor '\(name)'", found: "scales whose mean overflows float32",
                advice: "Quantize it without double quantization, or keep it as it is.")
        }
        return .double(
            NF4Tensor.DoubleQuantizedScales(
                codes: codes.region, nestedAbsmax: nested.region, nestedBlockSize: nestedBlockSize, offset: offset))
    }
}

public import Bytes
public import Kernels
public import Tensors

/// Makes `Int8Tensor`s as bitsandbytes' `quantize_blockwise` does; whole tensors, or runs of blocks for a converter.
public struct Int8Quantizer: Sendable, Hashable {
    public var blockSize: Int
    public var rule: Dynamic8Kernel.Rule

    /// - Throws: `CrayonError` for a block size outside 1 to 4096.
    public init(
        blockSize: Int = Int8Tensor.defaultBlockSize, rule: Dynamic8Kernel.Rule = .bitsandbytesCPU
    ) throws(CrayonError) {
        guard blockSize > 0, blockSize <= Dynamic8Kernel.largestBlock else {
            throw CrayonError(
                .usage, in: "block size", found: "\(blockSize)", expected: "1 to \(Dynamic8Kernel.largestBlock)")
        }
        self.blockSize = blockSize
        self.rule = rule
    }

    public func blockCount(of count: Int) -> Int { count / blockSize + (count % blockSize == 0 ? 0 : 1) }

    /// Quantizes a tensor of F32, F16, BF16, or F64 (rounded to F32 first) on all cores.
    /// - Throws: `CrayonError` naming tensor and index for NaN or infinity; for other types and empty tensors.
    public func quantize(_ tensor: Tensor, place: String = "quantize") throws(CrayonError) -> Int8Tensor {
        try requireFloats(tensor, place: place)
        let count = tensor.shape.count
        let codes = ByteBuffer(uninitialized: count)
        let absmax = ByteBuffer(uninitialized: blockCount(of: count) * 4)
        let codePointer = codes.pointer.assumingMemoryBound(to: UInt8.self)
        let absmaxPointer = absmax.pointer.assumingMemoryBound(to: Float.self)
        let run = max(1, (1 << 18) / blockSize) * blockSize
        try Parallel.forEachRange(of: count, size: run) { (range) throws(CrayonError) in
            try quantizeBlocks(
                of: tensor, elements: range, codes: codePointer + range.lowerBound,
                absmax: absmaxPointer + range.lowerBound / blockSize, place: place)
        }
        return try Int8Tensor(
            shape: tensor.shape, blockSize: blockSize, codes: codes.region, absmax: absmax.region,
            sourceType: tensor.type == .f64 ? .f32 : tensor.type, name: tensor.name, place: place)
    }

    /// Quantizes a run of whole blocks into the caller's memory: a code for each element, a scale for each block.
    /// - Parameter elements: starts at a multiple of the block size, and ends at one or at the tensor's end.
    /// - Throws: `CrayonError` naming tensor and index for NaN or infinity, and for a type that is no float type.
    public func quantizeBlocks(
        of tensor: Tensor, elements: Range<Int>, codes: UnsafeMutablePointer<UInt8>,
        absmax: UnsafeMutablePointer<Float>, place: String
    ) throws(CrayonError) {
        try tensor.readBlocks(elements, of: blockSize, place: place) { source, type in
            Dynamic8Kernel.quantize(
                source, type: type, count: elements.count, blockSize: blockSize, rule: rule, codes: codes,
                absmax: absmax)
        }
    }
}

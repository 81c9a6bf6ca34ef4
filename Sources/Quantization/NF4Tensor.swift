public import Bytes
import Kernels
public import Tensors

/// A weight in NormalFloat4: 4-bit codes, and a scale (absmax) for every block of the flattened,
/// row-major elements. Blocks may cross rows. Immutable; parts may lie in a mapped file.
///
/// What a code stands for is the map's to say, so that bitsandbytes' FP4 weights are such tensors too; nothing here makes them.
public struct NF4Tensor: Sendable {
    /// The scales of the blocks.
    public enum Scales: Sendable {
        /// F32 `[blocks]`
        case single(absmax: ByteRegion)
        case double(DoubleQuantizedScales)
    }

    /// Scales that are themselves 8-bit codes: scale b = `map[codes[b]] * nestedAbsmax[b / nestedBlockSize] + offset`.
    public struct DoubleQuantizedScales: Sendable {
        /// U8 `[blocks]`
        public let codes: ByteRegion
        /// F32 `[ceil(blocks / nestedBlockSize)]`
        public let nestedAbsmax: ByteRegion
        /// F32 `[256]`, aligned
        public let nestedMap: ByteRegion
        public let nestedBlockSize: Int
        public let offset: Float

        /// - Parameter nestedMap: 256 values; nil for the signed dynamic map.
        /// - Precondition: 256 values, if any; `nestedBlockSize` is positive.
        public init(
            codes: ByteRegion, nestedAbsmax: ByteRegion, nestedMap: [Float]? = nil, nestedBlockSize: Int = 256,
            offset: Float
        ) {
            let map = nestedMap ?? Dynamic8Kernel.map
            precondition(map.count == 256 && nestedBlockSize > 0)
            self.codes = codes
            self.nestedAbsmax = nestedAbsmax
            self.nestedMap = map.withUnsafeBytes { ByteRegion(copying: $0) }
            self.nestedBlockSize = nestedBlockSize
            self.offset = offset
        }
    }

    /// The block sizes that bitsandbytes knows.
    public static let blockSizes = [32, 64, 128, 256, 512, 1024, 2048, 4096]

    /// NF4's levels. F32 `[16]`
    public static let standardMap = NF4Kernel.map.withUnsafeBytes { ByteRegion(copying: $0) }

    public let shape: Shape
    public let blockSize: Int
    /// U8 `[(count + 1) / 2]`, the even element in the high nibble
    public let codes: ByteRegion
    public let scales: Scales
    /// F32 `[16]`, aligned
    public let quantMap: ByteRegion
    public let quantType: FourBitType
    /// The type of the weight before quantization, to which bitsandbytes dequantizes: F32, F16 or BF16.
    public let sourceType: ElementType

    /// - Parameter quantMap: 16 values; nil for those of `quantType`.
    /// - Throws: `CrayonError` when a part's size does not follow from shape and block sizes.
    public init(
        shape: Shape, blockSize: Int, codes: ByteRegion, scales: Scales, quantMap: [Float]? = nil,
        quantType: FourBitType = .nf4, sourceType: ElementType, name: String = "weight", place: String = "NF4"
    ) throws(CrayonError) {
        func require(_ condition: Bool, _ part: String, _ found: String, _ expected: String) throws(CrayonError) {
            guard !condition else { return }
            throw CrayonError(.mismatch, in: place, item: "tensor '\(name)\(part)'", found: found, expected: expected)
        }
        try require(
            NF4Tensor.blockSizes.contains(blockSize), "", "block size \(blockSize)",
            "one of \(NF4Tensor.blockSizes.map(String.init).joined(separator: ", "))")
        try require(sourceType.isKernelType, "", "source type \(sourceType.rawValue)", "F32, F16 or BF16")
        try require(shape.count > 0, "", "shape \(shape)", "at least one element")
        let count = shape.count
        let blocks = (count - 1) / blockSize + 1
        let codeBytes = count / 2 + count % 2
        try require(
            codes.count == codeBytes, "", "\(codes.count) bytes of codes", "\(codeBytes) for shape \(shape)")
        switch scales {
        case .single(let absmax):
            try require(
                absmax.count == blocks * 4, ".absmax", "\(absmax.count) bytes",
                "\(blocks) float32 for shape \(shape) and block size \(blockSize)")
        case .double(let nested):
            let nestedBlocks = (blocks - 1) / nested.nestedBlockSize + 1
            try require(
                nested.codes.count == blocks, ".absmax", "\(nested.codes.count) bytes",
                "\(blocks) for shape \(shape) and block size \(blockSize)")
            try require(
                nested.nestedAbsmax.count == nestedBlocks * 4, ".nested_absmax",
                "\(nested.nestedAbsmax.count) bytes", "\(nestedBlocks) float32")
            try require(nested.offset.isFinite, ".nested_offset", "\(nested.offset)", "a finite offset")
        }
        let map = quantMap ?? quantType.map
        try require(map.count == 16, ".quant_map", "\(map.count) values", "16")
        self.shape = shape
        self.blockSize = blockSize
        self.codes = codes
        self.scales = scales
        self.quantType = quantType
        self.quantMap = map.withUnsafeBytes { ByteRegion(copying: $0) }
        self.sourceType = sourceType
    }

    public var blockCount: Int { (shape.count - 1) / blockSize + 1 }

    /// Bytes of codes, scales and maps.
    public var byteCount: Int {
        let scaleBytes =
            switch scales {
            case .single(let absmax): absmax.count
            case .double(let nested): nested.codes.count + nested.nestedAbsmax.count + nested.nestedMap.count
            }
        return codes.count + scaleBytes + quantMap.count
    }
}

public import Bytes
import Kernels
public import Tensors

/// A weight in 8-bit codes, with a float32 scale for every block of the flattened, row-major elements: those of bitsandbytes'
/// signed dynamic map, or the integers of LLM.int8(), whose blocks are rows.
public struct Int8Tensor: Sendable {
    /// bitsandbytes' default for `quantize_blockwise` is 4096; smaller blocks follow the weights better for little more.
    public static let defaultBlockSize = 256

    /// The signed dynamic map. F32 `[256]`
    public static let standardMap = Dynamic8Kernel.map.withUnsafeBytes { ByteRegion(copying: $0) }

    public let shape: Shape
    public let blockSize: Int
    /// U8 `[count]`
    public let codes: ByteRegion
    /// F32 `[ceil(count / blockSize)]`
    public let absmax: ByteRegion
    /// F32 `[256]`, aligned
    public let quantMap: ByteRegion
    public let quantType: EightBitType
    /// The type of the weight before quantization: F32, F16 or BF16.
    public let sourceType: ElementType

    /// - Parameter quantMap: 256 values; nil for those of `quantType`.
    /// - Throws: `CrayonError` when a part's size does not follow from shape and block size.
    public init(
        shape: Shape, blockSize: Int, codes: ByteRegion, absmax: ByteRegion, quantMap: [Float]? = nil,
        quantType: EightBitType = .dynamic8, sourceType: ElementType, name: String = "weight", place: String = "int8"
    ) throws(CrayonError) {
        func require(_ condition: Bool, _ part: String, _ found: String, _ expected: String) throws(CrayonError) {
            guard !condition else { return }
            throw CrayonError(.mismatch, in: place, item: "tensor '\(name)\(part)'", found: found, expected: expected)
        }
        try require(
            blockSize > 0 && (blockSize <= Dynamic8Kernel.largestBlock || blockSize == shape.columns), "",
            "block size \(blockSize)", "1 to \(Dynamic8Kernel.largestBlock), or that of a row")
        try require(sourceType.isKernelType, "", "source type \(sourceType.rawValue)", "F32, F16 or BF16")
        try require(shape.count > 0, "", "shape \(shape)", "at least one element")
        let blocks = (shape.count - 1) / blockSize + 1
        try require(codes.count == shape.count, "", "\(codes.count) codes", "\(shape.count) for shape \(shape)")
        try require(absmax.count == blocks * 4, ".absmax", "\(absmax.count) bytes", "\(blocks) float32")
        let map = quantMap ?? quantType.map
        try require(map.count == 256, ".quant_map", "\(map.count) values", "256")
        self.shape = shape
        self.blockSize = blockSize
        self.codes = codes
        self.absmax = absmax
        self.quantType = quantType
        self.quantMap = map.withUnsafeBytes { ByteRegion(copying: $0) }
        self.sourceType = sourceType
    }

    public var blockCount: Int { (shape.count - 1) / blockSize + 1 }
    public var byteCount: Int { codes.count + absmax.count + quantMap.count }

    /// A run of the flattened elements rounded to F32, F16 or BF16.
    /// - Precondition: the range lies inside the tensor.
    public func dequantize(elements: Range<Int>, as type: ElementType = .f32, into target: UnsafeMutableRawPointer) {
        precondition(elements.lowerBound >= 0 && elements.upperBound <= shape.count)
        withExtendedLifetime(self) {
            Dynamic8Kernel.dequantize(
                codes: codes.baseAddress.assumingMemoryBound(to: UInt8.self), absmax: absmax.baseAddress,
                map: quantMap.baseAddress.assumingMemoryBound(to: Float.self), blockSize: blockSize,
                elements: elements, as: type, into: target)
        }
    }

    /// `y[r] = sum over c of W[rows.lowerBound + r][c] x[c]`, in float32.
    /// - Precondition: the rows lie inside `shape.rows`; x has `shape.columns` elements, y `rows.count`.
    public func multiply(rows: Range<Int>, x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>) {
        precondition(rows.lowerBound >= 0 && rows.upperBound <= shape.rows)
        withExtendedLifetime(self) {
            Dynamic8Kernel.multiply(
                codes: codes.baseAddress.assumingMemoryBound(to: UInt8.self), absmax: absmax.baseAddress,
                map: quantMap.baseAddress.assumingMemoryBound(to: Float.self), blockSize: blockSize,
                columns: shape.columns, rows: rows, x: x, into: y)
        }
    }
}

import CKernels
public import Tensors

/// The signed 8-bit dynamic map in blocks: bitsandbytes' `quantize_blockwise`.
public enum Dynamic8Kernel {
    /// How a scaled value becomes a code.
    public enum Rule: String, CaseIterable, Sendable, Hashable {
        /// bitsandbytes 0.50 on a CPU: a table of 65,536 cells, not always the nearest code.
        case bitsandbytesCPU = "bitsandbytes-cpu"
        /// The nearest code, a tie going to the even one: bitsandbytes on CUDA.
        case exactNearest = "exact-nearest"
    }

    public static let largestBlock = 4096

    /// The 256 values, ascending; index 127 is 0 and 255 is 1.
    public static let map: [Float] = withUnsafeBytes(of: ck_dynamic_map) { [Float]($0.bindMemory(to: Float.self)) }

    /// Quantizes `source - offset`.
    /// - Returns: the index of the first element (less `offset`) that is not finite, or nil.
    /// - Precondition: `type` is F32, F16 or BF16; `blockSize` is at most `largestBlock`.
    public static func quantize(
        _ source: UnsafeRawPointer, type: ElementType, count: Int, blockSize: Int, offset: Float = 0, rule: Rule,
        codes: UnsafeMutablePointer<UInt8>, absmax: UnsafeMutablePointer<Float>
    ) -> Int? {
        precondition(count >= 0 && blockSize > 0 && blockSize <= largestBlock)
        let bad = ck_dynamic8_quantize(
            source, type.kernelType, Int64(count), Int64(blockSize), offset,
            rule == .exactNearest ? CK_CODES_NEAREST : CK_CODES_CPU, codes, absmax)
        return bad < 0 ? nil : Int(bad)
    }

    /// A run of elements of a tensor: `map[code] * absmax[block]`, rounded to `type` (F32, F16 or BF16).
    public static func dequantize(
        codes: UnsafePointer<UInt8>, absmax: UnsafeRawPointer, map: UnsafePointer<Float>, blockSize: Int,
        elements: Range<Int>, as type: ElementType, into target: UnsafeMutableRawPointer
    ) {
        ck_dynamic8_dequantize(
            codes, absmax, map, Int64(blockSize), Int64(elements.lowerBound), Int64(elements.count), type.kernelType,
            target)
    }

    /// `y[r] = sum over c of W[rows.lowerBound + r][c] x[c]` in float32.
    public static func multiply(
        codes: UnsafePointer<UInt8>, absmax: UnsafeRawPointer, map: UnsafePointer<Float>, blockSize: Int,
        columns: Int, rows: Range<Int>, x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>
    ) {
        ck_dynamic8_multiply(
            codes, absmax, map, Int64(blockSize), Int64(columns), Int64(rows.lowerBound), Int64(rows.count), x, y)
    }
}

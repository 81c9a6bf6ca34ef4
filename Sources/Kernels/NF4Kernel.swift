import CKernels
public import Tensors

/// NormalFloat4 in blocks, as bitsandbytes 0.50 computes it on a CPU: kernels over memory that the
/// caller has validated. `Quantization` wraps them in types.
public enum NF4Kernel {
    /// The largest block of bitsandbytes, and of the kernels' scratch memory.
    public static let largestBlock = 4096

    /// The 16 values, ascending.
    public static let map: [Float] = withUnsafeBytes(of: ck_nf4_map) { [Float]($0.bindMemory(to: Float.self)) }

    /// Quantizes elements that start at a block boundary of a tensor and end at one, or at the tensor's end: a
    /// shorter last block is the tensor's partial one and is scaled by division.
    ///
    /// - Parameters:
    ///   - codes: `(count + 1) / 2` bytes, the even element in the high nibble.
    ///   - absmax: `ceil(count / blockSize)` scales.
    /// - Returns: the index of the first element that is NaN or infinite, or nil; the outputs are unspecified when there is one.
    /// - Precondition: `type` is F32, F16 or BF16; `blockSize` is even and at most `largestBlock`.
    public static func quantize(
        _ source: UnsafeRawPointer, type: ElementType, count: Int, blockSize: Int,
        codes: UnsafeMutablePointer<UInt8>, absmax: UnsafeMutablePointer<Float>
    ) -> Int? {
        precondition(count >= 0 && blockSize > 0 && blockSize % 2 == 0 && blockSize <= largestBlock)
        let bad = ck_nf4_quantize(source, type.kernelType, Int64(count), Int64(blockSize), codes, absmax)
        return bad < 0 ? nil : Int(bad)
    }

    /// The mean of a tensor's scales in torch's order of summation: the offset of double quantization.
    public static func offset(absmax: UnsafePointer<Float>, count: Int) -> Float {
        precondition(count > 0)
        return ck_cascade_mean(absmax, Int64(count))
    }
}

/// Pointers to the parts of a 4-bit tensor, for the length of a kernel call.
public struct NF4View {
    var tensor: ck_nf4_tensor

    /// One float32 scale a block. `absmax` may have any alignment.
    public init(
        codes: UnsafePointer<UInt8>, map: UnsafePointer<Float>, blockSize: Int, absmax: UnsafeRawPointer
    ) {
        tensor = ck_nf4_tensor()
        tensor.codes = codes
        tensor.map = map
        tensor.block = Int64(blockSize)
        tensor.absmax = absmax
    }

    /// Double-quantized scales. `nestedAbsmax` may have any alignment.
    public init(
        codes: UnsafePointer<UInt8>, map: UnsafePointer<Float>, blockSize: Int, scaleCodes: UnsafePointer<UInt8>,
        nestedAbsmax: UnsafeRawPointer, nestedMap: UnsafePointer<Float>, nestedBlockSize: Int, offset: Float
    ) {
        tensor = ck_nf4_tensor()
        tensor.codes = codes
        tensor.map = map
        tensor.block = Int64(blockSize)
        tensor.scale_codes = scaleCodes
        tensor.nested_absmax = nestedAbsmax
        tensor.nested_map = nestedMap
        tensor.nested_block = Int64(nestedBlockSize)
        tensor.offset = offset
    }

    /// The scales of some blocks as float32.
    public func scales(blocks: Range<Int>, into target: UnsafeMutablePointer<Float>) {
        withUnsafePointer(to: tensor) { ck_nf4_scales($0, Int64(blocks.lowerBound), Int64(blocks.count), target) }
    }

    /// A run of elements, rounded to `type` (F32, F16 or BF16).
    public func dequantize(elements: Range<Int>, as type: ElementType, into target: UnsafeMutableRawPointer) {
        withUnsafePointer(to: tensor) {
            ck_nf4_dequantize($0, Int64(elements.lowerBound), Int64(elements.count), type.kernelType, target)
        }
    }

    /// `y[r] = sum over c of W[rows.lowerBound + r][c] x[c]` in float32.
    public func multiply(
        columns: Int, rows: Range<Int>, x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>
    ) {
        withUnsafePointer(to: tensor) {
            ck_nf4_multiply($0, Int64(columns), Int64(rows.lowerBound), Int64(rows.count), x, y)
        }
    }
}

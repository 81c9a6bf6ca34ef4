import Bytes
import Kernels
public import Tensors

extension NF4Tensor {
    /// Calls `body` with the pointers that the kernels want; they hold for the call only.
    func withView<Result>(_ body: (NF4View) -> Result) -> Result {
        let map = quantMap.baseAddress.assumingMemoryBound(to: Float.self)
        let codes = self.codes.baseAddress.assumingMemoryBound(to: UInt8.self)
        return withExtendedLifetime(self) {
            switch scales {
            case .single(let absmax):
                body(NF4View(codes: codes, map: map, blockSize: blockSize, absmax: absmax.baseAddress))
            case .double(let nested):
                body(
                    NF4View(
                        codes: codes, map: map, blockSize: blockSize,
                        scaleCodes: nested.codes.baseAddress.assumingMemoryBound(to: UInt8.self),
                        nestedAbsmax: nested.nestedAbsmax.baseAddress,
                        nestedMap: nested.nestedMap.baseAddress.assumingMemoryBound(to: Float.self),
                        nestedBlockSize: nested.nestedBlockSize, offset: nested.offset))
            }
        }
    }

    /// The scales of some blocks as float32, with the reference's two roundings.
    /// - Precondition: the range lies inside `0..<blockCount`.
    public func scales(ofBlocks blocks: Range<Int>, into target: UnsafeMutablePointer<Float>) {
        precondition(blocks.lowerBound >= 0 && blocks.upperBound <= blockCount)
        withView { $0.scales(blocks: blocks, into: target) }
    }

    /// A run of the flattened elements as float32, bit for bit bitsandbytes'.
    /// - Precondition: the range lies inside the tensor.
    public func dequantize(elements: Range<Int>, into target: UnsafeMutablePointer<Float>) {
        dequantize(elements: elements, as: .f32, into: target)
    }

    /// A run of the flattened elements rounded to F32, F16 or BF16.
    /// - Precondition: the range lies inside the tensor; `target` may have any alignment unless `type` is F32.
    public func dequantize(elements: Range<Int>, as type: ElementType, into target: UnsafeMutableRawPointer) {
        precondition(elements.lowerBound >= 0 && elements.upperBound <= shape.count)
        withView { $0.dequantize(elements: elements, as: type, into: target) }
    }

    /// `y[r] = sum over c of W[rows.lowerBound + r][c] x[c]`, in float32.
    /// - Precondition: the rows lie inside `shape.rows`; x has `shape.columns` elements, y `rows.count`.
    public func multiply(rows: Range<Int>, x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>) {
        precondition(rows.lowerBound >= 0 && rows.upperBound <= shape.rows)
        withView { $0.multiply(columns: shape.columns, rows: rows, x: x, into: y) }
    }
}

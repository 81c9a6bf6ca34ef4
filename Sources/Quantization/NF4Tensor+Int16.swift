import Bytes
public import Kernels
import Tensors

extension NF4Tensor: Int16Coded {
    /// The levels as integers; nil for a weight whose rows are not made of whole blocks of 64, or are longer than the kernels
    /// take.
    public var int16Levels: Int16Levels? {
        let columns = shape.columns
        guard shape.rank == 2, blockSize % Int16Product.blockSize == 0, columns % blockSize == 0,
            columns <= Int16Product.largestColumns
        else { return nil }
        let map = [Float](
            UnsafeBufferPointer(start: quantMap.baseAddress.assumingMemoryBound(to: Float.self), count: 16))
        return map == NF4Kernel.map ? Int16Levels.nf4 : Int16Levels(map)
    }

    public static var int16RowUse: Int16Product.Use { .nf4Rows }

    public func withInt16View(_ body: (NF4View) -> Void) { withView(body) }
}

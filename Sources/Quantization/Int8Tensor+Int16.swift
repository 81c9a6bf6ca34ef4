import Bytes
public import Kernels
import Tensors

extension Int8Tensor: Int16Coded {
    /// The levels as integers; nil for a weight whose rows or blocks are not made of runs of 64, or whose rows are longer than the
    /// kernels take.
    public var int16Levels: Int16Levels? {
        let columns = shape.columns
        guard shape.rank >= 2, blockSize % Int16Product.blockSize == 0, columns % Int16Product.blockSize == 0,
            columns <= Int16Product.largestColumns
        else { return nil }
        let map = [Float](
            UnsafeBufferPointer(start: quantMap.baseAddress.assumingMemoryBound(to: Float.self), count: 256))
        return map == Dynamic8Kernel.map ? Int16Levels.dynamic8 : Int16Levels(map)
    }

    public func withInt16View(_ body: (Dynamic8View) -> Void) {
        withExtendedLifetime(self) {
            body(
                Dynamic8View(
                    codes: codes.baseAddress.assumingMemoryBound(to: UInt8.self), absmax: absmax.baseAddress,
                    blockSize: blockSize))
        }
    }

    public static var int16RowUse: Int16Product.Use { .dynamic8Rows }
}

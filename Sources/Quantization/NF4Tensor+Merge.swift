import Bytes
public import Kernels
import Tensors

extension NF4Tensor {
    /// Adds a change to a run of blocks and quantizes them again, see `BlockChanges.requantize`.
    /// - Precondition: the range lies inside the tensor; it starts at a block and ends at one, or at the tensor's end.
    public func requantize(
        elements: Range<Int>, adding delta: UnsafePointer<Float>, codes: UnsafeMutablePointer<UInt8>,
        absmax: UnsafeMutablePointer<Float>, recording changes: BlockChanges
    ) -> Int? {
        checkBlocks(elements)
        return withView {
            changes.requantize(
                $0, elements: elements, as: sourceType, adding: delta, codes: codes, absmax: absmax)
        }
    }

    /// Records what became of a run of blocks, whose first has the first record.
    /// - Precondition: as for `requantize`; the tensors agree in shape and block size.
    public func record(
        _ merged: NF4Tensor, elements: Range<Int>, delta: UnsafePointer<Float>, in changes: BlockChanges
    ) {
        checkBlocks(elements)
        precondition(merged.shape == shape && merged.blockSize == blockSize)
        withView { before in
            merged.withView {
                changes.compare(
                    before, with: $0, elements: elements, delta: delta, first: elements.lowerBound / blockSize)
            }
        }
    }

    /// The sums of a run's records.
    /// - Parameter first: the block of the first record.
    /// - Precondition: as for `record`.
    public func totals(
        _ merged: NF4Tensor, elements: Range<Int>, of changes: BlockChanges, first: Int = 0
    ) -> BlockChanges.Totals {
        checkBlocks(elements)
        precondition(merged.shape == shape && merged.blockSize == blockSize)
        return withView { before in
            merged.withView { changes.totals(before, with: $0, elements: elements, first: first) }
        }
    }

    private func checkBlocks(_ elements: Range<Int>) {
        precondition(elements.lowerBound >= 0 && elements.upperBound <= shape.count)
        precondition(elements.lowerBound % blockSize == 0)
        precondition(elements.upperBound % blockSize == 0 || elements.upperBound == shape.count)
    }
}

import Bytes
import Kernels
import Quantization
import Tensors

/// The change of one weight, computed once where it fits into memory: rounding to 4 bits looks at it up to five times.
struct HeldDelta {
    let source: DeltaSource

    /// - Parameter memory: holds the change until the next one is made in it.
    init(_ target: MergeTarget, in memory: DeltaMemory) {
        let shape = target.base.shape
        guard let values = memory.reserve(shape.count) else {
            source = DeltaSource { target.fillChange($0, into: $1) }
            return
        }
        Parallel.forEachRange(of: shape.count, size: DenseMerge.runSize(columns: shape.columns)) {
            target.fillChange($0, into: values + $0.lowerBound)
        }
        source = DeltaSource(held: memory)
    }
}

/// Memory for the changes of one weight after the other: fresh pages for each would cost as much as the sums themselves.
///
/// For one weight at a time; whoever merges does so on one thread, and only the work within is spread over cores.
final class DeltaMemory: @unchecked Sendable {
    /// Bytes of a change that is held. The widest layers of a 7B model have 235 MB; a table of embeddings is made anew each time.
    private static let limit = 512 << 20

    private var pointer: UnsafeMutablePointer<Float>?
    private var capacity = 0
    private var records: BlockChanges?
    /// For results, of which a few are being written while the next is made.
    let results = RecycledMemory(limit: 128 << 20)

    deinit { pointer?.deallocate() }

    /// - Precondition: room for the range was reserved.
    func pointer(to elements: Range<Int>) -> UnsafePointer<Float> {
        guard let pointer, elements.upperBound <= capacity else { preconditionFailure("nothing was reserved") }
        return UnsafePointer(pointer + elements.lowerBound)
    }

    /// Room for the records of as many blocks.
    func changes(ofBlocks count: Int) -> BlockChanges {
        if let records, records.capacity >= count { return records }
        let fresh = BlockChanges(capacity: count)
        records = fresh
        return fresh
    }

    /// - Returns: room for `count` numbers, nil where that is too much to hold.
    func reserve(_ count: Int) -> UnsafeMutablePointer<Float>? {
        guard count * MemoryLayout<Float>.stride <= Self.limit else { return nil }
        if capacity < count {
            pointer?.deallocate()
            pointer = .allocate(capacity: max(count, 1))
            capacity = count
        }
        return pointer
    }
}

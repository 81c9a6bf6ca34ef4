import Bytes
import Kernels
import Quantization
import Tensors

/// The change of one weight, computed once where it fits into memory: rounding to 4 bits looks at it up to five times.
struct HeldDelta {
    /// Bytes of a change that is held. The widest layers of a 7B model have 235 MB; a table of embeddings is made anew each time.
    private static let limit = 512 << 20

    let source: DeltaSource

    init(_ target: MergeTarget) {
        let shape = target.base.shape
        guard shape.count * 4 <= Self.limit else {
            source = DeltaSource { target.fillChange($0, into: $1) }
            return
        }
        let buffer = ByteBuffer(count: shape.count * 4)
        let values = buffer.pointer.assumingMemoryBound(to: Float.self)
        Parallel.forEachRange(of: shape.count, size: DenseMerge.runSize(columns: shape.columns)) {
            target.fillChange($0, into: values + $0.lowerBound)
        }
        source = DeltaSource { elements, target in
            let held = buffer.pointer.assumingMemoryBound(to: Float.self)
            target.update(from: held + elements.lowerBound, count: elements.count)
        }
    }
}

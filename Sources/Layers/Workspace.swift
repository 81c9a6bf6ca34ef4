import Bytes
import Kernels
import Synchronization

/// Scratch memory of a forward pass, kept from one call to the next so that a decoding step allocates nothing
/// once the first has run.
///
/// One pass at a time: two passes that run at once need a workspace each.
public final class Workspace: @unchecked Sendable {
    // @unchecked: slots belong to the one pass that runs; only scratch is taken by several threads, under the lock.

    /// The buffers of a pass, each named for what it holds. A slot's contents are lost when it is asked for again.
    public enum Slot: Int, CaseIterable, Sendable {
        /// The residual stream. `[tokens, hidden]`
        case residual
        /// The normalised input of attention or of the MLP. `[tokens, hidden]`
        case normalized
        /// Fused projection, or queries. `[tokens, ...]`
        case queries
        case keys
        case values
        /// What parts of the positions contribute to attention. `[parts, ...]`
        case attentionParts
        /// What attention mixed, before the output projection. `[tokens, heads * headSize]`
        case mixed
        case gate
        case up
        /// A low-rank pair's inner values. `[tokens, rank]`
        case inner
        /// Products of few rows, before they are added to the output.
        case products
        /// Cached keys, rotated for the present length. `[positions, kvHeads * headSize]`
        case rotatedKeys
        /// Rows whose logits are asked for. `[rows, hidden]`
        case selected
        case logits
        /// What a low-rank pair reads where dropout acts. `[tokens, in]`
        case dropped
        /// Gradient of a pair's inner values. `[tokens, rank]`
        case innerGradient
        /// Gradient of the residual stream. `[tokens, hidden]`
        case residualGradient
        /// Gradient of what a norm gave. `[tokens, hidden]`
        case normalizedGradient
        /// Gradients of `mixed`, and of queries (or the fused projection), keys and values.
        case mixedGradient
        case queryGradient
        case keyGradient
        case valueGradient
        /// What SwiGLU gives, and its gradient. `[tokens, mlp]`
        case gated
        case gatedGradient
        /// Gradient of `selected`.
        case selectedGradient
        /// What a linear layer reads, as int16 with a scale for every 64.
        case narrowed
        case narrowedScales
        /// Gradients of a projector's inner and outer values.
        case projectedGradient
        case projectorGradient
    }

    private var slots = [ByteBuffer?](repeating: nil, count: Slot.allCases.count)
    private let scratch = Mutex<[ByteBuffer]>([])

    public init() {}

    /// Room for a matrix; the contents are unspecified. Earlier views of the slot become invalid.
    public func view(_ slot: Slot, rows: Int, columns: Int) -> MatrixView {
        let bytes = rows * columns * MemoryLayout<Float>.stride
        let buffer: ByteBuffer
        if let present = slots[slot.rawValue], present.count >= bytes {
            buffer = present
        } else {
            slots[slot.rawValue] = nil  // freed before its successor is allocated
            buffer = ByteBuffer(count: bytes)
            slots[slot.rawValue] = buffer
        }
        return MatrixView(
            buffer.pointer.assumingMemoryBound(to: Float.self), rows: rows, columns: columns, owner: buffer)
    }

    /// Memory for one task of a parallel loop, from a pool with as many buffers as tasks ever ran at once.
    public func withScratch<Result>(
        _ count: Int, _ body: (UnsafeMutablePointer<Float>) throws -> Result
    ) rethrows -> Result {
        let bytes = Workspace.scratchBytes(count)
        let kept = scratch.withLock { pool in pool.popLast() }
        let buffer = if let kept, kept.count >= bytes { kept } else { ByteBuffer(count: bytes) }
        defer { scratch.withLock { pool in pool.append(buffer) } }
        return try body(buffer.pointer.assumingMemoryBound(to: Float.self))
    }

    /// Sees to it that as many tasks as there are threads find scratch of `count` floats: how many run at once in a pass, and
    /// which of them first, is chance, and the next pass must not allocate for it.
    /// - Precondition: no scratch is in use.
    public func reserveScratch(_ count: Int) {
        let bytes = Workspace.scratchBytes(count)
        let threads = Parallel.threadCount
        scratch.withLock { pool in
            guard pool.count < threads || pool.contains(where: { $0.count < bytes }) else { return }
            pool.removeAll { $0.count < bytes }
            while pool.count < threads { pool.append(ByteBuffer(uninitialized: bytes)) }
        }
    }

    /// Rounded up so that a length that grows by one token at a time finds room.
    private static func scratchBytes(_ count: Int) -> Int {
        max(count, 1024).nextPowerOfTwo * MemoryLayout<Float>.stride
    }
}

extension Int {
    fileprivate var nextPowerOfTwo: Int { self <= 1 ? 1 : 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount) }
}

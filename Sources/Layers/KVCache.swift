import Architecture
import Bytes

/// Keys and values of the positions that a model has seen, for every layer.
///
/// Keys are stored rotated. Under dynamic rotary scaling the base changes with every position past
/// `maxPositions`; from the first one on keys are stored unrotated, and attention rotates a copy for the length
/// of the moment, as InternLM's published code does. (Hidden states of earlier positions stay what they
/// were when they were computed, there as here.)
public final class KVCache: @unchecked Sendable {
    // @unchecked: belongs to one sequence; the layer that runs splits its own work.

    public let layerCount: Int
    /// `kvHeads * headSize`
    public let width: Int
    /// Positions held, the same in every layer between two passes.
    public private(set) var count = 0
    /// Positions that there is room for.
    public private(set) var capacity = 0
    /// Whether `keys` are rotated.
    public private(set) var holdsRotatedKeys = true
    private var keyBuffers: [ByteBuffer] = []
    private var valueBuffers: [ByteBuffer] = []

    public init(layerCount: Int, width: Int) {
        self.layerCount = layerCount
        self.width = width
    }

    /// Room for `positions` in all; grows by doubling.
    public func reserve(_ positions: Int) {
        guard positions > capacity else { return }
        let next = max(positions, capacity * 2, 64)
        let used = count * width * MemoryLayout<Float>.stride
        func grown(_ buffers: inout [ByteBuffer]) {
            for layer in 0..<layerCount {
                let larger = ByteBuffer(count: next * width * MemoryLayout<Float>.stride)
                if layer < buffers.count {
                    larger.pointer.copyMemory(from: buffers[layer].pointer, byteCount: used)
                    buffers[layer] = larger
                } else {
                    buffers.append(larger)
                }
            }
        }
        grown(&keyBuffers)
        grown(&valueBuffers)
        capacity = next
    }

    /// Room of one layer's keys. `[capacity, kvHeads * headSize]`
    public func keys(_ layer: Int) -> MatrixView { view(keyBuffers[layer]) }

    /// Room of one layer's values. `[capacity, kvHeads * headSize]`
    public func values(_ layer: Int) -> MatrixView { view(valueBuffers[layer]) }

    private func view(_ buffer: ByteBuffer) -> MatrixView {
        MatrixView(buffer.pointer.assumingMemoryBound(to: Float.self), rows: capacity, columns: width, owner: buffer)
    }

    /// Ends a pass that has written `positions` new rows in every layer.
    public func advance(by positions: Int) {
        precondition(count + positions <= capacity)
        count += positions
    }

    /// Forgets all but the first `positions`.
    public func truncate(to positions: Int) {
        precondition(positions >= 0 && positions <= count)
        count = positions
        if positions == 0 { holdsRotatedKeys = true }
    }

    /// Turns the stored keys back, once, when the base starts to change.
    public func storeUnrotatedKeys(rotary: RotaryEmbedding) {
        guard holdsRotatedKeys else { return }
        holdsRotatedKeys = false
        guard count > 0 else { return }
        let table = rotary.table(length: min(count, rotary.configuration.maxPositions))
        for layer in 0..<layerCount {
            Elementwise.rotate(keys(layer).rows(0..<count), by: table, from: 0, backwards: true)
        }
    }

    public var byteCount: Int { 2 * layerCount * capacity * width * MemoryLayout<Float>.stride }
}

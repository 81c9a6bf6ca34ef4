import Architecture
import Bytes
import Tensors

/// Keys and values of the positions that a model has seen, for every layer.
///
/// Keys are stored rotated. Under dynamic rotary scaling the base changes with every position past
/// `maxPositions`; from the first one on keys are stored unrotated, and attention rotates a copy for the length
/// of the moment, as InternLM's published code does. (Hidden states of earlier positions stay what they
/// were when they were computed, there as here.)
public final class KVCache: @unchecked Sendable {
    // @unchecked: belongs to one sequence; the layer that runs splits its own work.

    public let layerCount: Int
    /// Key-value heads.
    public let groups: Int
    public let headSize: Int
    public let format: KVCacheFormat
    /// Positions held, the same in every layer between two passes.
    public private(set) var count = 0
    /// Positions that there is room for.
    public private(set) var capacity = 0
    /// Whether `keys` are rotated.
    public private(set) var holdsRotatedKeys = true
    /// For each layer the scales of int8 `[capacity, groups]`, then the elements `[capacity, groups * headSize]`.
    private var keyBuffers: [ByteBuffer] = []
    private var valueBuffers: [ByteBuffer] = []

    public init(layerCount: Int, groups: Int, headSize: Int, format: KVCacheFormat = .f32) {
        precondition(layerCount >= 0 && groups > 0 && headSize > 0)
        self.layerCount = layerCount
        self.groups = groups
        self.headSize = headSize
        self.format = format
    }

    /// Room for `positions` in all; grows by doubling.
    public func reserve(_ positions: Int) {
        guard positions > capacity else { return }
        let next = max(positions, capacity * 2, 64)
        func grown(_ buffers: inout [ByteBuffer]) {
            for layer in 0..<layerCount {
                let larger = ByteBuffer(count: next * format.bytes(groups: groups, headSize: headSize))
                if layer < buffers.count {
                    copy(count, from: (buffers[layer], capacity), to: (larger, next))
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

    private typealias Room = (buffer: ByteBuffer, capacity: Int)

    /// The first `positions` of one layer's keys or values: scales where there are any, and elements.
    private func copy(_ positions: Int, from old: Room, to new: Room) {
        let scales = format.scaleBytes(groups: groups)
        new.buffer.pointer.copyMemory(from: old.buffer.pointer, byteCount: positions * scales)
        (new.buffer.pointer + new.capacity * scales).copyMemory(
            from: old.buffer.pointer + old.capacity * scales,
            byteCount: positions * groups * headSize * format.elementBytes)
    }

    /// Takes over the first `positions` of another sequence of the same model; forgets its own.
    /// - Precondition: both have the same extents and format, and the other that many positions.
    public func copyPrefix(of other: KVCache, positions: Int) {
        precondition(layerCount == other.layerCount && groups == other.groups && headSize == other.headSize)
        precondition(format == other.format && positions <= other.count && other !== self)
        count = 0
        reserve(positions)
        // Neither has memory before its first position.
        for layer in 0..<(positions > 0 ? layerCount : 0) {
            copy(positions, from: (other.keyBuffers[layer], other.capacity), to: (keyBuffers[layer], capacity))
            copy(positions, from: (other.valueBuffers[layer], other.capacity), to: (valueBuffers[layer], capacity))
        }
        count = positions
        holdsRotatedKeys = positions == 0 || other.holdsRotatedKeys
    }

    /// Room of one layer's keys. `[capacity, groups * headSize]`
    public func keys(_ layer: Int) -> KVRows { view(keyBuffers[layer]) }

    /// Room of one layer's values. `[capacity, groups * headSize]`
    public func values(_ layer: Int) -> KVRows { view(valueBuffers[layer]) }

    private func view(_ buffer: ByteBuffer) -> KVRows {
        KVRows(
            format: format, base: buffer.pointer + capacity * format.scaleBytes(groups: groups),
            scales: format == .int8 ? buffer.pointer.assumingMemoryBound(to: Float.self) : nil, rows: capacity,
            columns: groups * headSize, headSize: headSize, owner: buffer)
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

    /// Turns the stored keys back, once, when the base starts to change. Narrow keys are rounded a second time.
    public func storeUnrotatedKeys(rotary: RotaryEmbedding) {
        guard holdsRotatedKeys else { return }
        holdsRotatedKeys = false
        guard count > 0 else { return }
        let table = rotary.table(length: min(count, rotary.configuration.maxPositions))
        let scratch = format == .f32 ? nil : Matrix(rows: count, columns: groups * headSize)
        for layer in 0..<layerCount {
            let keys = keys(layer).rows(0..<count)
            if let floats = keys.floats {
                Elementwise.rotate(floats, by: table, from: 0, backwards: true)
            } else if let scratch = scratch?.view {
                keys.widen(into: scratch)
                Elementwise.rotate(scratch, by: table, from: 0, backwards: true)
                keys.store(scratch)
            }
        }
    }

    public var byteCount: Int { 2 * layerCount * capacity * format.bytes(groups: groups, headSize: headSize) }
}

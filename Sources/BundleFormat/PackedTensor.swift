import Bytes
public import Tensors

/// Lossless packing of floating-point tensors: byte planes, cut into blocks, each entropy-coded or raw.
///
///     payload     for every block of `blockElements` elements (the last may be shorter):
///                 its planes, most significant first
///     zeros       0 to 63 bytes
///     table       UInt32 per block and plane, in the order of the payload: the plane's size in bytes;
///                 the top bit is set where it is stored raw
///
/// The whole is a multiple of 64 bytes, so that what follows it in a bundle is aligned. The table stands
/// last because a streaming writer knows it last; a reader knows the table's size from the shape.
/// Blocks decode independently of each other.
public enum PackedTensor {
    /// A plane of a block is 256 KiB: large enough that frame headers do not count, small enough that a
    /// core decodes and merges it in its second-level cache.
    public static let blockElements = 1 << 18
    /// What a reader accepts. A block is decoded into scratch memory, so its size is bounded.
    public static let acceptedBlockElements = 1...(1 << 24)
    static let alignment = 64
    static let rawFlag: UInt32 = 1 << 31
    /// A plane that would not shrink by this part is stored raw: raw planes are merged from where they lie.
    static let leastGain = 0.02

    /// Blocks and planes of a tensor.
    struct Layout {
        let count: Int
        let blockElements: Int
        let planeCount: Int

        /// Nil for types without planes.
        init?(type: ElementType, count: Int, blockElements: Int) {
            guard let planes = BytePlanes.count(of: type) else { return nil }
            self.count = count
            self.blockElements = blockElements
            planeCount = planes
        }

        var blockCount: Int { (count + blockElements - 1) / blockElements }
        var tableSize: Int { blockCount * planeCount * MemoryLayout<UInt32>.size }

        func elements(inBlock block: Int) -> Int { min(blockElements, count - block * blockElements) }
    }

    /// The largest that a packed tensor can get: every plane raw.
    public static func upperBound(type: ElementType, count: Int, blockElements: Int = blockElements) -> Int {
        guard let layout = Layout(type: type, count: count, blockElements: blockElements) else { return 0 }
        return (count * type.byteCount + layout.tableSize + 2 * alignment - 1) / alignment * alignment
    }

    /// Packs a whole tensor in memory. Conversion streams blocks through `PackedBlockEncoder` instead.
    /// - Precondition: the type has planes.
    public static func encode(_ tensor: Tensor, blockElements: Int = blockElements) -> [UInt8] {
        guard let layout = Layout(type: tensor.type, count: tensor.shape.count, blockElements: blockElements) else {
            preconditionFailure("\(tensor.type) has no byte planes")
        }
        defer { withExtendedLifetime(tensor) {} }
        let encoder = PackedBlockEncoder()
        var payload: [UInt8] = []
        var table = PackedTable()
        for block in 0..<layout.blockCount {
            let elements = layout.elements(inBlock: block)
            let packed = encoder.encode(
                tensor.region.baseAddress + block * blockElements * tensor.type.byteCount, type: tensor.type,
                count: elements)
            payload += packed.bytes
            table.append(packed)
        }
        return payload + table.trailer(payload: payload.count)
    }

    /// Smaller tensors are stored as they are.
    public static let leastByteCount = 4096

    /// Whether packing pays for a tensor, judged by three of its blocks, so that the answer does not need
    /// a pass over the whole and is the same whoever asks.
    public static func isWorthwhile(_ tensor: Tensor) -> Bool {
        guard let layout = Layout(type: tensor.type, count: tensor.shape.count, blockElements: blockElements),
            tensor.region.count >= leastByteCount
        else { return false }
        defer { withExtendedLifetime(tensor) {} }
        let encoder = PackedBlockEncoder()
        var before = 0
        var after = 0
        for block in Set([0, layout.blockCount / 2, layout.blockCount - 1]).sorted() {
            // A part of a block tells as much as the whole.
            let elements = min(layout.elements(inBlock: block), 1 << 15)
            let packed = encoder.encode(
                tensor.region.baseAddress + block * blockElements * tensor.type.byteCount, type: tensor.type,
                count: elements)
            before += elements * tensor.type.byteCount
            after += packed.bytes.count
        }
        return Double(after) < Double(before) * (1 - leastGain)
    }
}

/// One encoded block.
public struct PackedBlock: Sendable {
    /// The planes, one after the other.
    public let bytes: [UInt8]
    /// The block's table entries.
    let entries: [UInt32]
}

/// Encodes blocks; one per thread, it owns its scratch memory.
public final class PackedBlockEncoder {
    private let coder = EntropyCoder()
    private var planes: [UInt8] = []

    public init() {}

    /// Encodes `count` elements at `source` (any alignment) as one block.
    /// - Precondition: the type has planes, and `count` is at most the block size of the tensor.
    public func encode(_ source: UnsafeRawPointer, type: ElementType, count: Int) -> PackedBlock {
        guard let planeCount = BytePlanes.count(of: type) else { preconditionFailure("\(type) has no byte planes") }
        if planes.count < planeCount * count { planes = [UInt8](repeating: 0, count: planeCount * count) }
        // Raw planes need their own size; a frame is kept only when it is smaller.
        let limit = Int(Double(count) * (1 - PackedTensor.leastGain))
        var entries: [UInt32] = []
        let bytes = planes.withUnsafeMutableBufferPointer { planes -> [UInt8] in
            let base = planes.baseAddress!
            BytePlanes.split(source, planes: planeCount, count: count, into: base)
            return [UInt8](unsafeUninitializedCapacity: planeCount * EntropyCoder.bound(count)) { output, size in
                for plane in 0..<planeCount {
                    let input = UnsafeRawBufferPointer(start: base + plane * count, count: count)
                    let target = UnsafeMutableRawBufferPointer(
                        start: output.baseAddress! + size, count: EntropyCoder.bound(count))
                    if let encoded = coder.encode(input, into: target), encoded <= limit {
                        entries.append(UInt32(encoded))
                        size += encoded
                    } else {
                        target.copyMemory(from: input)
                        entries.append(UInt32(count) | PackedTensor.rawFlag)
                        size += count
                    }
                }
            }
        }
        return PackedBlock(bytes: bytes, entries: entries)
    }
}

/// The table of a packed tensor, collected block by block.
public struct PackedTable: Sendable {
    private var entries: [UInt32] = []

    public init() {}

    public mutating func append(_ block: PackedBlock) { entries += block.entries }

    /// What follows a payload of the given size: zeros and the table.
    public func trailer(payload: Int) -> [UInt8] {
        let size = payload + entries.count * 4
        let padding = (PackedTensor.alignment - size % PackedTensor.alignment) % PackedTensor.alignment
        var bytes = [UInt8](repeating: 0, count: padding)
        for entry in entries { withUnsafeBytes(of: entry.littleEndian) { bytes += $0 } }
        return bytes
    }
}

public import Bytes
import Kernels
public import Quantization
import Synchronization
public import Tensors

extension PackedTensor {
    /// Decodes a packed tensor on all cores.
    /// - Parameters:
    ///   - region: the packed bytes, exactly.
    ///   - place: the file, for errors.
    /// - Throws: `CrayonError` naming block and plane when the bytes do not follow the format. Nothing in
    ///   `region` is trusted, and no memory is taken beyond the tensor's own size and a block per core.
    public static func decode(
        _ region: ByteRegion, name: String, type: ElementType, shape: Shape, blockElements: Int, in place: String
    ) throws(CrayonError) -> Tensor {
        let blocks = try PackedBlocks(
            region, name: name, type: type, count: shape.count, blockElements: blockElements, in: place)
        let target = ByteBuffer(uninitialized: shape.count * type.byteCount)
        let failure = Mutex<(block: Int, error: CrayonError)?>(nil)
        Parallel.forEach(count: blocks.count) { block in
            do throws(CrayonError) {
                try blocks.decode(block, into: target.pointer + block * blockElements * type.byteCount)
            } catch {
                failure.withLock { if $0 == nil || $0!.block > block { $0 = (block, error) } }
            }
        }
        if let (_, error) = failure.withLock({ $0 }) { throw error }
        return Tensor(name: name, type: type, shape: shape, region: target.region)
    }

    /// The same, to be decoded block by block when there is need or time: a piece is a block, and throws as `decode` does. A block
    /// that cannot be decoded is zero.
    /// - Throws: `CrayonError` for a table that is not right.
    public static func deferred(
        _ region: ByteRegion, name: String, type: ElementType, shape: Shape, blockElements: Int, in place: String
    ) throws(CrayonError) -> DeferredTensor {
        let blocks = try PackedBlocks(
            region, name: name, type: type, count: shape.count, blockElements: blockElements, in: place)
        let target = ByteBuffer(uninitialized: shape.count * type.byteCount)
        return DeferredTensor(
            tensor: Tensor(name: name, type: type, shape: shape, region: target.region), pieceElements: blockElements
        ) { (block) throws(CrayonError) in
            let start = target.pointer + block * blockElements * type.byteCount
            do throws(CrayonError) {
                try blocks.decode(block, into: start)
            } catch {
                start.initializeMemory(
                    as: UInt8.self, repeating: 0, count: blocks.elements(inBlock: block) * type.byteCount)
                throw error
            }
        }
    }
}

/// The blocks of a packed tensor whose table has been checked: random access for readers that need a part.
public struct PackedBlocks: Sendable {
    private let region: ByteRegion
    private let name: String
    private let place: String
    private let layout: PackedTensor.Layout
    private let type: ElementType
    private let entries: [UInt32]
    /// Where each block's first plane starts.
    private let offsets: [Int]

    /// Reads and checks the table.
    public init(
        _ region: ByteRegion, name: String, type: ElementType, count: Int, blockElements: Int, in place: String
    ) throws(CrayonError) {
        func failure(_ found: String, _ expected: String? = nil) -> CrayonError {
            CrayonError(.malformed, in: place, item: "packed tensor '\(name)'", found: found, expected: expected)
        }
        guard PackedTensor.acceptedBlockElements.contains(blockElements) else {
            throw failure(
                "blocks of \(blockElements) elements", "1 to \(PackedTensor.acceptedBlockElements.upperBound)")
        }
        guard let layout = PackedTensor.Layout(type: type, count: count, blockElements: blockElements) else {
            throw failure("elements of type \(type.rawValue)", "F32, F16 or BF16")
        }
        guard region.count.isMultiple(of: PackedTensor.alignment), region.count >= layout.tableSize else {
            throw failure(
                "\(region.count) bytes", "a multiple of \(PackedTensor.alignment), at least \(layout.tableSize)")
        }
        let payload = region.count - layout.tableSize
        var entries: [UInt32] = []
        entries.reserveCapacity(layout.blockCount * layout.planeCount)
        var offsets: [Int] = []
        offsets.reserveCapacity(layout.blockCount)
        var end = 0
        for block in 0..<layout.blockCount {
            offsets.append(end)
            let elements = layout.elements(inBlock: block)
            for plane in 0..<layout.planeCount {
                let position = payload + (block * layout.planeCount + plane) * 4
                let entry = UInt32(littleEndian: region.buffer.loadUnaligned(fromByteOffset: position, as: UInt32.self))
                let size = Int(entry & ~PackedTensor.rawFlag)
                // A frame is smaller than what it stands for, or it would be raw.
                let isRaw = entry & PackedTensor.rawFlag != 0
                guard isRaw ? size == elements : size > 0 && size < elements, size <= payload - end else {
                    throw failure("block \(block), plane \(plane): \(size) bytes\(isRaw ? ", raw" : "")")
                }
                entries.append(entry)
                end += size
            }
        }
        guard payload - end < PackedTensor.alignment, region.buffer[end..<payload].allSatisfy({ $0 == 0 }) else {
            throw failure("\(payload - end) bytes between payload and table", "fewer than 64 zeros")
        }
        self.region = region
        self.name = name
        self.place = place
        self.layout = layout
        self.type = type
        self.entries = entries
        self.offsets = offsets
    }

    public var count: Int { layout.blockCount }
    public var blockElements: Int { layout.blockElements }

    public func elements(inBlock block: Int) -> Int { layout.elements(inBlock: block) }

    /// Decodes one block.
    /// - Parameter target: room for `elements(inBlock:)` elements.
    public func decode(_ block: Int, into target: UnsafeMutableRawPointer) throws(CrayonError) {
        defer { withExtendedLifetime(region) {} }
        let elements = layout.elements(inBlock: block)
        let scratch = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, layout.planeCount * elements))
        defer { scratch.deallocate() }
        let decoder = EntropyDecoder()
        var planes: [UnsafePointer<UInt8>] = []
        var offset = offsets[block]
        for plane in 0..<layout.planeCount {
            let entry = entries[block * layout.planeCount + plane]
            let size = Int(entry & ~PackedTensor.rawFlag)
            let source = region.slice(offset: offset, count: size).buffer
            offset += size
            if entry & PackedTensor.rawFlag != 0 {
                planes.append(source.baseAddress!.assumingMemoryBound(to: UInt8.self))
                continue
            }
            let room = UnsafeMutableRawBufferPointer(start: scratch + plane * elements, count: elements)
            if let problem = decoder.decode(source, into: room) {
                throw CrayonError(
                    .malformed, in: place, item: "packed tensor '\(name)'",
                    found: "block \(block), plane \(plane): \(problem)")
            }
            planes.append(UnsafePointer(scratch + plane * elements))
        }
        BytePlanes.merge(planes, count: elements, into: target)
    }
}

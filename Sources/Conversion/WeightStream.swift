import BundleFormat
import Bytes
import Kernels
import Quantization
import Tensors

/// Streams weights into a bundle: chunks of a tensor are computed on all cores, a group at a time, while
/// another thread writes the group before.
final class WeightStream {
    /// A multiple of every block size, 4-bit, 8-bit and packed.
    private static let chunk = 1 << 20
    /// Chunks of a group: enough that two cores end at about the same time.
    private static let group = 16
    /// Bytes that may wait for the disk.
    private static let queueLimit = 128 << 20

    private let writer: BundleWriter
    private let quantizer: NF4Quantizer
    private let int8Quantizer: Int8Quantizer
    private let queue = BoundedQueue(limit: queueLimit)

    init(writer: BundleWriter, quantizer: NF4Quantizer, int8Quantizer: Int8Quantizer) {
        self.writer = writer
        self.quantizer = quantizer
        self.int8Quantizer = int8Quantizer
    }

    /// - Parameters:
    ///   - place: the file that the tensor lies in, for errors.
    ///   - advance: called with the bytes of the source that have been read, on this thread.
    func write(
        _ tensor: Tensor, as entry: BundleWeight, place: String, advance: (Int) -> Void
    ) throws(CrayonError) {
        switch entry.coding.kind {
        case .nf4: try writeNF4(tensor, entry, place, advance)
        case .int8: try writeInt8(tensor, entry, place, advance)
        case .plain, .packed: try writeDense(tensor, entry, place, advance)
        case .fp4: preconditionFailure("FP4 is carried over, not made")
        }
    }

    /// Writes a weight that is quantized already.
    /// - Throws: `CrayonError` naming the block for a scale that is no finite number.
    func write(_ weight: StoredWeight, as entry: BundleWeight, place: String) throws(CrayonError) {
        if let block = weight.firstBadScale {
            throw CrayonError(
                .notFinite, in: place, item: "tensor '\(entry.sourceName)'",
                found: "NaN or infinity as the scale of block \(block)", expected: "finite numbers",
                advice: "The file is damaged, or was quantized from weights that are.")
        }
        try queue.add(bytes: weight.byteCount) { [writer] () throws(CrayonError) in
            try writer.append(weight, of: entry)
        }
    }

    /// Waits until everything is written.
    func finish() throws(CrayonError) { try queue.finish() }

    /// Gives up: nothing is written any more, and nothing holds the writer when this returns. Without it, work that
    /// still waits would keep a refused bundle's temporary file, past the program's end even.
    func cancel() { queue.cancel() }

    private func writeNF4(
        _ tensor: Tensor, _ entry: BundleWeight, _ place: String, _ advance: (Int) -> Void
    ) throws(CrayonError) {
        let absmax = ByteBuffer(uninitialized: quantizer.blockCount(of: tensor.shape.count) * 4)
        let scales = absmax.pointer.assumingMemoryBound(to: Float.self)
        try forEachGroup(of: tensor, to: entry.name, advance) { (elements) throws(CrayonError) in
            let codes = ByteBuffer(uninitialized: (elements.count + 1) / 2)
            try quantizer.quantizeBlocks(
                of: tensor, elements: elements, codes: codes.pointer.assumingMemoryBound(to: UInt8.self),
                absmax: scales + elements.lowerBound / quantizer.blockSize, place: place)
            return codes.region
        }
        let quantized = try quantizer.quantizeScales(absmax.region, name: tensor.name, place: place)
        try queue.add(bytes: absmax.count) { [writer] () throws(CrayonError) in
            try writer.append(scales: quantized, quantMap: NF4Tensor.standardMap, of: entry)
        }
    }

    private func writeInt8(
        _ tensor: Tensor, _ entry: BundleWeight, _ place: String, _ advance: (Int) -> Void
    ) throws(CrayonError) {
        let absmax = ByteBuffer(uninitialized: int8Quantizer.blockCount(of: tensor.shape.count) * 4)
        let scales = absmax.pointer.assumingMemoryBound(to: Float.self)
        try forEachGroup(of: tensor, to: entry.name, advance) { (elements) throws(CrayonError) in
            let codes = ByteBuffer(uninitialized: elements.count)
            try int8Quantizer.quantizeBlocks(
                of: tensor, elements: elements, codes: codes.pointer.assumingMemoryBound(to: UInt8.self),
                absmax: scales + elements.lowerBound / int8Quantizer.blockSize, place: place)
            return codes.region
        }
        try queue.add(bytes: absmax.count) { [writer] () throws(CrayonError) in
            try writer.append(absmax: absmax.region, quantMap: Int8Tensor.standardMap, of: entry)
        }
    }

    private func writeDense(
        _ tensor: Tensor, _ entry: BundleWeight, _ place: String, _ advance: (Int) -> Void
    ) throws(CrayonError) {
        let type = entry.coding.type
        let isPacked = entry.coding.kind == .packed
        let table = PackedTableBox()
        /// A chunk as it is stored, and its packed blocks where it is packed.
        typealias Piece = (stored: ByteRegion, blocks: [PackedBlock])
        try forEachGroup(
            of: tensor, to: entry.name, advance,
            { (elements) throws(CrayonError) -> Piece in
                let source = tensor.region.slice(
                    offset: elements.lowerBound * tensor.type.byteCount, count: elements.count * tensor.type.byteCount)
                if let bad = FiniteScan.firstBad(source.baseAddress, type: tensor.type, count: elements.count) {
                    throw Self.notFinite(tensor, elements.lowerBound + bad, place)
                }
                var stored = source
                if type != tensor.type {
                    stored = Self.cast(tensor, elements: elements, to: type).region
                    if let bad = FiniteScan.firstBad(stored.baseAddress, type: type, count: elements.count) {
                        throw Self.overflow(tensor, elements.lowerBound + bad, type, place)
                    }
                }
                return (stored, isPacked ? Self.pack(stored, type: type, count: elements.count) : [])
            },
            append: { [writer] (piece: Piece) throws(CrayonError) in
                guard isPacked else { return try writer.append(piece.stored, to: entry.name) }
                for block in piece.blocks {
                    try writer.append(block.bytes, to: entry.name)
                    table.append(block)
                }
            },
            size: { (piece: Piece) in piece.stored.count })
        guard isPacked else { return }
        try queue.add(bytes: 0) { [writer] () throws(CrayonError) in
            try writer.append(table.trailer(), to: entry.name)
        }
    }

    /// The table of a packed tensor, filled by the writing thread alone.
    private final class PackedTableBox {
        private var table = PackedTable()
        private var payload = 0

        func append(_ block: PackedBlock) {
            table.append(block)
            payload += block.bytes.count
        }

        func trailer() -> [UInt8] { table.trailer(payload: payload) }
    }

    private func forEachGroup(
        of tensor: Tensor, to name: String, _ advance: (Int) -> Void,
        _ compute: (Range<Int>) throws(CrayonError) -> ByteRegion
    ) throws(CrayonError) {
        try forEachGroup(
            of: tensor, to: name, advance, compute,
            append: { [writer] (region) throws(CrayonError) in try writer.append(region, to: name) },
            size: { $0.count })
    }

    /// Computes the chunks of a tensor in parallel and hands them to the writing thread in order.
    private func forEachGroup<Piece>(
        of tensor: Tensor, to name: String, _ advance: (Int) -> Void,
        _ compute: (Range<Int>) throws(CrayonError) -> Piece,
        append: @escaping (Piece) throws(CrayonError) -> Void, size: (Piece) -> Int
    ) throws(CrayonError) {
        let count = tensor.shape.count
        let groupSize = Self.chunk * Self.group
        for start in stride(from: 0, to: count, by: groupSize) {
            let end = min(start + groupSize, count)
            let chunks = (end - start + Self.chunk - 1) / Self.chunk
            var pieces = [Piece?](repeating: nil, count: chunks)
            var failure: CrayonError?
            pieces.withUnsafeMutableBufferPointer { pieces in
                nonisolated(unsafe) let pieces = pieces
                do throws(CrayonError) {
                    try Parallel.forEach(count: chunks) { (index) throws(CrayonError) in
                        let first = start + index * Self.chunk
                        pieces[index] = try compute(first..<min(first + Self.chunk, end))
                    }
                } catch {
                    failure = error
                }
            }
            if let failure { throw failure }
            for case let piece? in pieces {
                try queue.add(bytes: size(piece)) { () throws(CrayonError) in try append(piece) }
            }
            advance((end - start) * tensor.type.byteCount)
        }
    }

    private static func pack(_ region: ByteRegion, type: ElementType, count: Int) -> [PackedBlock] {
        let encoder = PackedBlockEncoder()
        return stride(from: 0, to: count, by: PackedTensor.blockElements).map { start in
            encoder.encode(
                region.baseAddress + start * type.byteCount, type: type,
                count: min(PackedTensor.blockElements, count - start))
        }
    }

    /// A run of elements in another float type.
    static func cast(_ tensor: Tensor, elements: Range<Int>, to type: ElementType) -> Tensor {
        let target = ByteBuffer(count: elements.count * type.byteCount)
        withUnsafeTemporaryAllocation(of: Float.self, capacity: max(elements.count, 1)) { scratch in
            guard let values = scratch.baseAddress else { return }
            FloatConversion.widen(tensor, elements: elements, into: values)
            FloatConversion.narrow(values, count: elements.count, to: type, into: target.pointer)
        }
        return Tensor(name: tensor.name, type: type, shape: Shape([elements.count]), region: target.region)
    }

    private static func notFinite(_ tensor: Tensor, _ index: Int, _ place: String) -> CrayonError {
        CrayonError(
            .notFinite, in: place, item: "tensor '\(tensor.name)'",
            found: "\(value(of: tensor, at: index)) at index \(index)",
            expected: "finite weights", advice: "A checkpoint with NaN or infinite weights cannot be converted.")
    }

    private static func overflow(_ tensor: Tensor, _ index: Int, _ type: ElementType, _ place: String) -> CrayonError {
        CrayonError(
            .notFinite, in: place, item: "tensor '\(tensor.name)'",
            found: "\(value(of: tensor, at: index)) at index \(index), too large for \(type.rawValue)",
            expected: "weights that fit the type asked for", advice: "Keep the part as it is, or take bf16.")
    }

    private static func value(of tensor: Tensor, at index: Int) -> Float {
        var value: Float = 0
        FloatConversion.widen(tensor, elements: index..<index + 1, into: &value)
        return value
    }
}

import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Kernels
import Quantization
import Tensors

/// Brings one tensor of a GGUF file from the model into it, in runs of rows that all cores work on at once.
struct GGUFTensorStream {
    let model: any ModelSource
    let tensor: GGUFPlan.PlannedTensor
    let writer: GGUFWriter

    /// Elements that one task reads and quantizes: 4 MiB of float32.
    private static let runElements = 1 << 20

    /// - Parameter progress: gets the bytes of each run that is written; called from several threads.
    func run(_ progress: (Int) -> Void) throws(CrayonError) {
        let read = try reader()
        let quantizer = GGMLQuantizer(tensor.type)
        let columns = tensor.shape.dims.last ?? 1
        let rows = columns == 0 ? 0 : tensor.shape.count / columns
        let rowBytes = columns / tensor.type.blockElements * tensor.type.blockBytes
        try Parallel.forEachRange(of: rows, size: max(1, Self.runElements / max(columns, 1))) {
            (range) throws(CrayonError) in
            let count = range.count * columns
            let values = UnsafeMutablePointer<Float>.allocate(capacity: count)
            defer { values.deallocate() }
            try read(range, columns, values)
            let bytes = UnsafeMutableRawPointer.allocate(
                byteCount: range.count * rowBytes, alignment: ByteBuffer.alignment)
            defer { bytes.deallocate() }
            try quantizer.quantize(
                values, first: range.lowerBound * columns, count: count, into: bytes, name: tensor.name,
                place: model.place)
            try writer.write(
                UnsafeRawBufferPointer(start: bytes, count: range.count * rowBytes), of: tensor.name,
                at: range.lowerBound * rowBytes)
            progress(range.count * rowBytes)
        }
        release()
    }

    /// Lets a bundle's pages go, so that what was written does not fill the memory.
    private func release() {
        guard case .weight(let role, _) = tensor.source, let bundle = model as? BundleReader,
            let entry = bundle.entry(role)
        else { return }
        for component in entry.coding.components { bundle.safetensors.dontNeed(entry.name + component.suffix) }
    }

    /// Rows of the tensor as float32 into the caller's memory.
    private typealias Read = (Range<Int>, Int, UnsafeMutablePointer<Float>) throws(CrayonError) -> Void

    private func reader() throws(CrayonError) -> Read {
        switch tensor.source {
        case .values(let values):
            return { (range, columns, target) throws(CrayonError) in
                values.withUnsafeBufferPointer {
                    guard let start = $0.baseAddress else { return }
                    target.update(from: start + range.lowerBound * columns, count: range.count * columns)
                }
            }
        case .weight(let role, let rows):
            // A table may be most of a model; in its own order it is unpacked a run at a time.
            if rows == nil, let packed = try packed(role) { return packed }
            guard let weight = try model.weight(role) else {
                throw CrayonError(.missing, in: model.place, item: "weight '\(role)'", found: "nothing")
            }
            return { (range, columns, target) throws(CrayonError) in
                guard let rows else {
                    return weight.dequantize(
                        elements: range.lowerBound * columns..<range.upperBound * columns, into: target)
                }
                // A bias is a vector, of which a row is an element.
                let width = weight.shape.rank == 1 ? 1 : columns
                let wanted = weight.shape.rank == 1 ? rows[...] : rows[range]
                for (index, row) in wanted.enumerated() {
                    weight.dequantize(elements: row * width..<(row + 1) * width, into: target + index * width)
                }
            }
        }
    }

    private func packed(_ role: Role) throws(CrayonError) -> Read? {
        guard let bundle = model as? BundleReader, let entry = bundle.entry(role), entry.coding.kind == .packed,
            let source = bundle.tensor(entry.name)
        else { return nil }
        let type = entry.coding.type
        let blocks = try PackedBlocks(
            source.region, name: entry.name, type: type, count: Shape(entry.coding.shape).count,
            blockElements: entry.coding.blockSize ?? PackedTensor.blockElements, in: bundle.place)
        return { (range, columns, target) throws(CrayonError) in
            let wanted = range.lowerBound * columns..<range.upperBound * columns
            guard !wanted.isEmpty else { return }
            let scratch = UnsafeMutableRawPointer.allocate(
                byteCount: blocks.blockElements * type.byteCount, alignment: ByteBuffer.alignment)
            defer { scratch.deallocate() }
            for block in wanted.lowerBound / blocks.blockElements...(wanted.upperBound - 1) / blocks.blockElements {
                try blocks.decode(block, into: scratch)
                let first = block * blocks.blockElements
                let part = wanted.clamped(to: first..<first + blocks.elements(inBlock: block))
                FloatConversion.widen(
                    scratch + (part.lowerBound - first) * type.byteCount, type: type, count: part.count,
                    into: target + (part.lowerBound - wanted.lowerBound))
            }
        }
    }
}

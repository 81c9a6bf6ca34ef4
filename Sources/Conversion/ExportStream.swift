import BundleFormat
import Bytes
import Checkpoints
import Kernels
import Quantization
import Tensors

/// Brings one tensor of an export from the bundle into its file, in runs that all cores work on at once.
struct ExportStream {
    let bundle: BundleReader
    let tensor: ExportedTensor
    let writer: ShardedSafetensorsWriter

    /// Elements that one task dequantizes: 4 MiB of float32. A multiple of every block size.
    private static let runElements = 1 << 20
    /// Bytes that one task copies.
    private static let runBytes = 1 << 23

    /// - Parameter progress: gets the bytes of each run that is written; called from several threads.
    func run(_ progress: (Int) -> Void) throws(CrayonError) {
        switch tensor.content {
        case .stored(let source):
            try copy(source, progress)
            bundle.safetensors.dontNeed(source.name)
        case .unpacked(let weight):
            try unpack(weight, progress)
            bundle.safetensors.dontNeed(weight.name)
        case .dequantized(let weight):
            try dequantize(weight, progress)
            for component in weight.coding.components { bundle.safetensors.dontNeed(weight.name + component.suffix) }
        }
    }

    private func copy(_ source: Tensor, _ progress: (Int) -> Void) throws(CrayonError) {
        try Parallel.forEachRange(of: source.region.count, size: Self.runBytes) { (range) throws(CrayonError) in
            let run = source.region.slice(offset: range.lowerBound, count: range.count)
            try withExtendedLifetime(run) { () throws(CrayonError) in
                try writer.write(run.buffer, of: tensor.name, at: range.lowerBound)
            }
            progress(range.count)
        }
    }

    private func unpack(_ weight: BundleWeight, _ progress: (Int) -> Void) throws(CrayonError) {
        guard let source = bundle.tensor(weight.name) else {
            throw CrayonError(.missing, in: bundle.place, item: "tensor '\(weight.name)'", found: "nothing")
        }
        let blocks = try PackedBlocks(
            source.region, name: weight.name, type: tensor.type, count: tensor.shape.count,
            blockElements: weight.coding.blockSize ?? PackedTensor.blockElements, in: bundle.place)
        try Parallel.forEach(count: blocks.count) { (block) throws(CrayonError) in
            try emit(
                first: block * blocks.blockElements, count: blocks.elements(inBlock: block), progress
            ) { (target) throws(CrayonError) in try blocks.decode(block, into: target) }
        }
    }

    private func dequantize(_ weight: BundleWeight, _ progress: (Int) -> Void) throws(CrayonError) {
        guard let stored = try bundle.weight(weight.role) else {
            throw CrayonError(.missing, in: bundle.place, item: "weight '\(weight.role)'", found: "nothing")
        }
        try Parallel.forEachRange(of: tensor.shape.count, size: Self.runElements) { (range) throws(CrayonError) in
            try emit(first: range.lowerBound, count: range.count, progress) { (target) throws(CrayonError) in
                stored.dequantize(elements: range, as: tensor.type, into: target)
            }
        }
    }

    /// Has a run of elements made and writes it.
    private func emit(
        first: Int, count: Int, _ progress: (Int) -> Void, _ make: (UnsafeMutableRawPointer) throws(CrayonError) -> Void
    ) throws(CrayonError) {
        let byteCount = count * tensor.type.byteCount
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: ByteBuffer.alignment)
        defer { buffer.deallocate() }
        try make(buffer)
        try writer.write(
            UnsafeRawBufferPointer(start: buffer, count: byteCount), of: tensor.name, at: first * tensor.type.byteCount)
        progress(byteCount)
    }
}

import Bytes
import Kernels
import Quantization
import Tensors

/// Rounds W + t D onto the grid of W, each row with its own t. Scales stay, but for those of blocks that outgrew them.
struct GridRounding {
    let base: NF4Tensor
    let delta: DeltaSource
    let unit: Float
    let name: String
    let place: String

    func round(amplifications: [Float], in memory: RecycledMemory? = nil) throws(CrayonError) -> NF4Tensor {
        let count = base.shape.count
        let pieces = Pieces(rows: base.shape.rows, columns: base.shape.columns)
        let codes = ByteBuffer(uninitialized: base.codes.count, from: memory)
        let scales = OutgrownScales(base)
        let target = codes.pointer.assumingMemoryBound(to: UInt8.self)
        // A multiple of every block size.
        let size = 1 << 16
        try Parallel.forEachRange(of: count, size: size) { (range) throws(CrayonError) in
            let run = try base.gridRun(capacity: min(size, count), name: name, place: place)
            let single = UnsafeMutablePointer<UInt8>.allocate(capacity: range.count)
            defer { single.deallocate() }
            // What the elements are to become, less the weight.
            let aims = UnsafeMutablePointer<Float>.allocate(capacity: range.count)
            defer { aims.deallocate() }
            try delta.withChange(range) { changes in
                var start = range.lowerBound
                while start < range.upperBound {
                    let piece = pieces.piece(of: start)
                    let end = min(pieces.elements(of: piece).upperBound, range.upperBound)
                    let at = start - range.lowerBound
                    let amplification = amplifications[piece]
                    base.prepare(run, elements: start..<end, unit: unit, delta: changes + at, wantsSums: false)
                    run.encode(amplification: amplification, into: single + at)
                    VectorMath.scaled(changes + at, by: amplification, into: aims + at, count: end - start)
                    start = end
                }
            }
            base.fit(run, elements: range, changes: aims, codes: single, scales: scales.pointer)
            GridRun.pack(single, count: range.count, into: target + range.lowerBound / 2)
        }
        return try NF4Tensor(
            shape: base.shape, blockSize: base.blockSize, codes: codes.region, scales: scales.result,
            quantMap: base.levels, quantType: base.quantType, sourceType: base.sourceType, name: name, place: place)
    }
}

extension NF4Tensor {
    /// The 16 levels of the file.
    var levels: [Float] {
        (0..<16).map { quantMap.buffer.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
}

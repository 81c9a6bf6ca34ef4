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

    func round(amplifications: [Float]) throws(CrayonError) -> NF4Tensor {
        let count = base.shape.count
        let pieces = Pieces(rows: base.shape.rows, columns: base.shape.columns)
        let codes = ByteBuffer(count: base.codes.count)
        let scales = OutgrownScales(base)
        let target = codes.pointer.assumingMemoryBound(to: UInt8.self)
        // A multiple of every block size.
        let size = 1 << 16
        try Parallel.forEachRange(of: count, size: size) { (range) throws(CrayonError) in
            let run = try base.gridRun(capacity: min(size, count), name: name, place: place)
            let single = UnsafeMutablePointer<UInt8>.allocate(capacity: range.count + 1)
            defer { single.deallocate() }
            try withFloats(range.count) { (changes) throws(CrayonError) in
                try delta.fill(range, into: changes)
                var start = range.lowerBound
                while start < range.upperBound {
                    let piece = pieces.piece(of: start)
                    let end = min(pieces.elements(of: piece).upperBound, range.upperBound)
                    let change = changes + (start - range.lowerBound)
                    base.prepare(run, elements: start..<end, unit: unit, delta: change)
                    run.encode(amplification: amplifications[piece], into: single + (start - range.lowerBound))
                    // What the elements are to become, less the weight, for the scales below.
                    VectorMath.scale(change, by: amplifications[piece], count: end - start)
                    start = end
                }
                scales.fit(elements: range, changes: changes, codes: single)
            }
            // The last of an odd count is padded with the code of 0, as in bitsandbytes.
            single[range.count] = 7
            let packed = target + range.lowerBound / 2
            for index in 0..<(range.count + 1) / 2 { packed[index] = single[2 * index] << 4 | single[2 * index + 1] }
        }
        return try NF4Tensor(
            shape: base.shape, blockSize: base.blockSize, codes: codes.region, scales: scales.result,
            quantMap: base.levels, sourceType: base.sourceType, name: name, place: place)
    }
}

extension NF4Tensor {
    /// The 16 levels of the file.
    var levels: [Float] {
        (0..<16).map { quantMap.buffer.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
}

import Bytes
import Quantization
import Tensors

/// New scales for blocks whose largest element is to go well beyond the largest level, as with a change that is not small
/// against the weight, or a block of zeros. The nested scales and the offset stay.
///
/// Tasks fill disjoint blocks.
struct OutgrownScales: @unchecked Sendable {
    // @unchecked: see above.
    private let base: NF4Tensor
    private let levels: [Float]
    private let thresholds: [Float]
    /// A code or a float32 for each block.
    private let stored: ByteBuffer

    init(_ base: NF4Tensor) {
        self.base = base
        let levels = base.levels
        self.levels = levels
        thresholds = zip(levels, levels.dropFirst()).map { ($0 + $1) / 2 }
        let source: ByteRegion
        switch base.scales {
        case .single(let absmax): source = absmax
        case .double(let scales): source = scales.codes
        }
        stored = ByteBuffer(count: source.count)
        stored.bytes.copyMemory(from: source.buffer)
    }

    var result: NF4Tensor.Scales {
        switch base.scales {
        case .single: .single(absmax: stored.region)
        case .double(let scales):
            .double(
                NF4Tensor.DoubleQuantizedScales(
                    codes: stored.region, nestedAbsmax: scales.nestedAbsmax,
                    nestedMap: (0..<256).map {
                        scales.nestedMap.buffer.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self)
                    }, nestedBlockSize: scales.nestedBlockSize, offset: scales.offset))
        }
    }

    /// Gives each block of a range that outgrew its scale another one, and its elements the codes for it, where that brings
    /// the block nearer to the weight plus `changes`.
    func fit(elements: Range<Int>, changes: UnsafePointer<Float>, codes: UnsafeMutablePointer<UInt8>) {
        let size = base.blockSize
        withUnsafeTemporaryAllocation(of: Float.self, capacity: size) { memory in
            guard let target = memory.baseAddress else { return }
            for start in stride(from: elements.lowerBound, to: elements.upperBound, by: size) {
                let end = min(start + size, elements.upperBound)
                let offset = start - elements.lowerBound
                base.dequantize(elements: start..<end, into: target)
                var largest: Float = 0
                for index in 0..<end - start {
                    target[index] += changes[offset + index]
                    largest = max(largest, target[index].magnitude)
                }
                var scale: Float = 0
                base.scales(ofBlocks: start / size..<start / size + 1, into: &scale)
                // A sixteenth: the largest level rounds no worse than its neighbours until then.
                guard largest > scale.magnitude * 1.0625, largest.isFinite else { continue }
                fit(
                    block: start / size, target: target, count: end - start, largest: largest, scale,
                    codes: codes + offset)
            }
        }
    }

    private func fit(
        block: Int, target: UnsafePointer<Float>, count: Int, largest: Float, _ scale: Float,
        codes: UnsafeMutablePointer<UInt8>
    ) {
        let candidate = nearestScale(block: block, to: largest)
        guard candidate.scale >= 0x1p-100, candidate.scale != scale else { return }
        var before = 0.0
        var after = 0.0
        let reciprocal = 1 / candidate.scale
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: count) { fitted in
            for index in 0..<count {
                let scaled = target[index] * reciprocal
                let code = thresholds.count { scaled > $0 }
                fitted[index] = UInt8(code)
                let old = Double(levels[Int(codes[index])] * scale) - Double(target[index])
                let new = Double(levels[code] * candidate.scale) - Double(target[index])
                before += old * old
                after += new * new
            }
            guard after < before else { return }
            for index in 0..<count { codes[index] = fitted[index] }
            candidate.store(stored.pointer)
        }
    }

    /// The scale nearest to `wanted` that the block can have, and how it is stored.
    private func nearestScale(
        block: Int, to wanted: Float
    ) -> (scale: Float, store: (UnsafeMutableRawPointer) -> Void) {
        guard case .double(let scales) = base.scales else {
            return (wanted, { $0.storeBytes(of: wanted, toByteOffset: 4 * block, as: Float.self) })
        }
        let nested = scales.nestedAbsmax.buffer.loadUnaligned(
            fromByteOffset: block / scales.nestedBlockSize * 4, as: Float.self)
        var best = (code: 0, scale: Float(0), distance: Float.infinity)
        for code in 0..<256 {
            let value = scales.nestedMap.buffer.loadUnaligned(fromByteOffset: 4 * code, as: Float.self)
            let scale = value * nested + scales.offset
            let distance = (scale - wanted).magnitude
            if distance < best.distance { best = (code, scale, distance) }
        }
        let code = UInt8(best.code)
        return (best.scale, { $0.storeBytes(of: code, toByteOffset: block, as: UInt8.self) })
    }
}

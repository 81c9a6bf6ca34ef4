import Bytes
import Quantization

/// New scales for blocks whose largest element is to go well beyond the largest level, as with a change that is not
/// small against the weight, or a block of zeros. The nested scales and the offset stay.
///
/// Tasks fill disjoint blocks.
struct OutgrownScales: @unchecked Sendable {
    // @unchecked: see above.
    private let base: NF4Tensor
    /// A code or a float32 for each block.
    private let stored: ByteBuffer

    init(_ base: NF4Tensor) {
        self.base = base
        let source: ByteRegion
        switch base.scales {
        case .single(let absmax): source = absmax
        case .double(let scales): source = scales.codes
        }
        stored = ByteBuffer(uninitialized: source.count)
        stored.bytes.copyMemory(from: source.buffer)
    }

    /// Where the scales of all blocks are stored.
    var pointer: UnsafeMutableRawPointer { stored.pointer }

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
}

import Bytes
import Tensors

extension StoredWeight {
    /// The index of the first block whose scale is no finite number; nil when all are, and for dense weights.
    public var firstBadScale: Int? {
        switch self {
        case .dense: return nil
        case .int8(let tensor):
            return withExtendedLifetime(tensor) {
                FiniteScan.firstBad(tensor.absmax.baseAddress, type: .f32, count: tensor.blockCount)
            }
        case .nf4(let tensor):
            let step = 1 << 14
            return withUnsafeTemporaryAllocation(of: Float.self, capacity: step) { scales in
                guard let start = scales.baseAddress else { return nil }
                for first in stride(from: 0, to: tensor.blockCount, by: step) {
                    let blocks = first..<min(first + step, tensor.blockCount)
                    tensor.scales(ofBlocks: blocks, into: start)
                    if let bad = FiniteScan.firstBad(start, type: .f32, count: blocks.count) { return first + bad }
                }
                return nil
            }
        }
    }
}

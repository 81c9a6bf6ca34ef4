import Bytes
import Foundation
import Kernels
import Quantization
import Tensors

/// Gaussian numbers of the size of trained weights, the same on every machine.
enum RandomWeights {
    private static let deviation = 0.02
    private static let chunk = 1 << 16

    /// A tensor in bfloat16.
    static func bfloat16(rows: Int, columns: Int, seed: UInt64 = 0) -> Tensor {
        let count = rows * columns
        let buffer = ByteBuffer(uninitialized: count * 2)
        Parallel.forEachRange(of: count, size: chunk) { range in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: range.count) { values in
                guard let start = values.baseAddress else { return }
                fill(start, count: range.count, seed: seed &+ UInt64(range.lowerBound))
                FloatConversion.narrow(
                    start, count: range.count, to: .bf16, into: buffer.pointer + range.lowerBound * 2)
            }
        }
        return Tensor(name: "weight", type: .bf16, shape: Shape([rows, columns]), region: buffer.region)
    }

    /// Activations.
    static func matrix(rows: Int, columns: Int, seed: UInt64 = 1) -> Matrix {
        let matrix = Matrix(rows: rows, columns: columns)
        Parallel.forEachRange(of: matrix.count, size: chunk) { range in
            fill(matrix.pointer + range.lowerBound, count: range.count, seed: seed &+ UInt64(range.lowerBound))
        }
        return matrix
    }

    /// Pairs of normal numbers (Box and Muller 1958).
    private static func fill(_ target: UnsafeMutablePointer<Float>, count: Int, seed: UInt64) {
        var noise = SplitMix64(seed: seed)
        for index in stride(from: 0, to: count, by: 2) {
            let radius = (-2 * log(1 - noise.uniform())).squareRoot() * deviation
            let angle = 2 * Double.pi * noise.uniform()
            target[index] = Float(radius * cos(angle))
            if index + 1 < count { target[index + 1] = Float(radius * sin(angle)) }
        }
    }

    /// As many copies of something as no cache holds together, so that each is read from memory when its turn comes.
    static func copiesPastCache(of byteCount: Int) -> Int { max(2, (4 * Machine.lastLevelCache) / byteCount + 1) }
}

/// The shapes of InternLM2-7B's linear layers, by which kernels are timed.
enum LayerShape {
    static let hidden = 4096
    static let inner = 14_336
    static let fused = 6144
    static let vocabulary = 32_000
    static let heads = 32
    static let groups = 8
    static let headSize = 128
}

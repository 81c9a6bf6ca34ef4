import Bytes
import Kernels
import Tensors

/// A pair's numbers in float64, each half with the rank first: inner products of deltas through products of the ranks' size.
struct PairFactors {
    private let rank: Int
    private let scale: Double
    /// `[rank, in]`
    private let a: [Double]
    /// `[rank, out]`
    private let b: [Double]

    init(_ module: AdapterModule) throws(CrayonError) {
        rank = module.rank
        scale = module.scale
        a = Self.widened(try module.a.tensor())
        let columns = Self.widened(try module.b.tensor())
        let out = module.b.shape[0]
        let rank = rank
        b = [Double](unsafeUninitializedCapacity: columns.count) { buffer, count in
            for row in 0..<out {
                for column in 0..<rank { buffer[column * out + row] = columns[row * rank + column] }
            }
            count = columns.count
        }
    }

    /// The Frobenius inner product of two deltas of one shape.
    func product(_ other: PairFactors) -> Double {
        let inner = a.count / max(rank, 1)
        let out = b.count / max(rank, 1)
        var sum = 0.0
        for row in 0..<rank {
            for column in 0..<other.rank {
                sum +=
                    Self.dot(a, row * inner, other.a, column * inner, inner)
                    * Self.dot(b, row * out, other.b, column * out, out)
            }
        }
        return sum * scale * other.scale
    }

    private static func widened(_ tensor: Tensor) -> [Double] {
        let count = tensor.shape.count
        var values = [Double](repeating: 0, count: count)
        guard tensor.type != .f64 else {
            let bytes = tensor.region.buffer
            for index in 0..<count { values[index] = bytes.loadUnaligned(fromByteOffset: 8 * index, as: Double.self) }
            return values
        }
        let run = 4096
        withUnsafeTemporaryAllocation(of: Float.self, capacity: run) { floats in
            guard let start = floats.baseAddress else { return }
            var done = 0
            while done < count {
                let part = min(run, count - done)
                FloatConversion.widen(tensor, elements: done..<done + part, into: start)
                for index in 0..<part { values[done + index] = Double(start[index]) }
                done += part
            }
        }
        return values
    }

    /// In eight lanes, so that the order of the sum is fixed and the loop a vector's.
    private static func dot(_ x: [Double], _ xStart: Int, _ y: [Double], _ yStart: Int, _ count: Int) -> Double {
        precondition(xStart + count <= x.count && yStart + count <= y.count)
        return x.withUnsafeBufferPointer { x in
            y.withUnsafeBufferPointer { y in
                var lanes = SIMD8<Double>.zero
                var index = 0
                while index + 8 <= count {
                    let left = UnsafeRawPointer(x.baseAddress! + xStart + index).loadUnaligned(as: SIMD8<Double>.self)
                    let right = UnsafeRawPointer(y.baseAddress! + yStart + index).loadUnaligned(as: SIMD8<Double>.self)
                    lanes += left * right
                    index += 8
                }
                var sum = lanes.sum()
                while index < count {
                    sum += x[xStart + index] * y[yStart + index]
                    index += 1
                }
                return sum
            }
        }
    }
}

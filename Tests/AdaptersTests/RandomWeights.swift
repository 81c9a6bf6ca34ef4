import Adapters
import Bytes
import Quantization
import Tensors

/// Weights and changes made from a seed.
enum RandomWeights {
    /// Sums of twelve uniform numbers: near enough to normal.
    static func normal(_ count: Int, scale: Float, seed: UInt64) -> [Float] {
        var generator = SplitMix64(seed: seed)
        return (0..<count).map { _ in
            scale * Float((0..<12).reduce(-6.0) { sum, _ in sum + generator.uniform() })
        }
    }

    static func base(
        _ rows: Int, _ columns: Int, blockSize: Int = 64, isDouble: Bool = true, seed: UInt64 = 1
    ) throws -> NF4Tensor {
        let values = normal(rows * columns, scale: 0.02, seed: seed)
        return try NF4Quantizer(blockSize: blockSize, doubleQuantization: isDouble)
            .quantize(Tensor(name: "w", shape: Shape([rows, columns]), values: values))
    }

    /// A change of rank 4 whose norm is `ratio` of the base's.
    static func delta(_ base: NF4Tensor, ratio: Double, seed: UInt64 = 2) -> [Float] {
        let (rows, columns) = (base.shape.rows, base.shape.columns)
        let b = normal(rows * 4, scale: 1, seed: seed)
        let a = normal(columns * 4, scale: 1, seed: seed + 1)
        var values = [Float](repeating: 0, count: rows * columns)
        for row in 0..<rows {
            for column in 0..<columns {
                values[row * columns + column] = (0..<4).reduce(0) { $0 + b[row * 4 + $1] * a[column * 4 + $1] }
            }
        }
        let scale = Float(ratio * norm(self.values(base)) / norm(values))
        return values.map { $0 * scale }
    }

    static func norm(_ values: [Float]) -> Double {
        values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
    }

    static func values(_ tensor: NF4Tensor) -> [Float] {
        var values = [Float](repeating: 0, count: tensor.shape.count)
        tensor.dequantize(elements: 0..<values.count, into: &values)
        return values
    }

    /// The bytes that a file would hold.
    static func bytes(_ tensor: NF4Tensor) -> [[UInt8]] { tensor.components(named: "w").map(\.region.array) }
}

extension DeltaSource {
    init(_ values: [Float]) {
        self.init { range, target in
            for (index, element) in range.enumerated() { target[index] = values[element] }
        }
    }
}

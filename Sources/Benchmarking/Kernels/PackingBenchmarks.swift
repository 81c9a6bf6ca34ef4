import BundleFormat
import Bytes
import Kernels
import Tensors

/// Lossless packing of 16-bit tensors, as conversion does it, and unpacking, as opening a bundle does it. Rates are of unpacked bytes.
enum PackingBenchmarks {
    private static let (rows, columns) = (LayerShape.hidden, LayerShape.inner)
    private static let count = rows * columns
    private static let subject = "bf16 \(rows) x \(columns)"

    static let all = [pack, unpack]

    static let pack = Benchmark("pack", .kernels, "lossless packing of a bf16 tensor") { () throws(CrayonError) in
        let tensor = RandomWeights.bfloat16(rows: rows, columns: columns)
        let packed = PackedTensor.encode(tensor)
        return Benchmark.Prepared(
            subject, amount: Double(tensor.region.count), unit: .bytes,
            floor: Floor([.memoryCopy: Double(tensor.region.count + packed.count)])
        ) { () throws(CrayonError) in
            // Four blocks and one encoder a task, as a converter's chunk has them.
            Parallel.forEachRange(of: count, size: 4 * PackedTensor.blockElements) { range in
                let encoder = PackedBlockEncoder()
                for start in stride(from: range.lowerBound, to: range.upperBound, by: PackedTensor.blockElements) {
                    _ = encoder.encode(
                        tensor.region.baseAddress + start * 2, type: .bf16,
                        count: min(PackedTensor.blockElements, range.upperBound - start))
                }
            }
        }
    }

    static let unpack = Benchmark("unpack", .kernels, "unpacking of a bf16 tensor") { () throws(CrayonError) in
        let tensor = RandomWeights.bfloat16(rows: rows, columns: columns)
        let packed = ByteRegion(copying: PackedTensor.encode(tensor))
        return Benchmark.Prepared(
            subject, amount: Double(tensor.region.count), unit: .bytes,
            floor: Floor([.memoryCopy: Double(tensor.region.count + packed.count)])
        ) { () throws(CrayonError) in
            _ = try PackedTensor.decode(
                packed, name: "weight", type: .bf16, shape: tensor.shape, blockElements: PackedTensor.blockElements,
                in: "benchmark")
        }
    }
}

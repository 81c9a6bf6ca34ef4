import Bytes
import Kernels
import Quantization
import Tensors

/// Quantization and dequantization of one large weight in memory.
enum QuantizationBenchmarks {
    private static let (rows, columns) = (LayerShape.inner, LayerShape.hidden)
    private static let count = rows * columns
    private static let subject = "bf16 \(rows) x \(columns)"

    static let all = [quantizeNF4, dequantizeNF4, quantizeInt8]

    static let quantizeNF4 = Benchmark(
        "quantize-nf4", .kernels, "bf16 to NF4 with double quantization, in memory"
    ) { () throws(CrayonError) in
        let tensor = RandomWeights.bfloat16(rows: rows, columns: columns)
        let quantizer = try NF4Quantizer()
        let result = try quantizer.quantize(tensor)
        return Benchmark.Prepared(
            subject, amount: Double(count), unit: .parameters,
            floor: Floor([.memoryCopy: Double(tensor.region.count + result.byteCount)])
        ) { () throws(CrayonError) in _ = try quantizer.quantize(tensor) }
    }

    static let dequantizeNF4 = Benchmark(
        "dequantize-nf4", .kernels, "NF4 with double quantization to bf16, in memory"
    ) { () throws(CrayonError) in
        let weight = try NF4Quantizer().quantize(RandomWeights.bfloat16(rows: rows, columns: columns))
        let target = ByteBuffer(count: count * 2)
        return Benchmark.Prepared(
            subject, amount: Double(count), unit: .parameters,
            floor: Floor([.memoryCopy: Double(target.count + weight.byteCount)])
        ) { () throws(CrayonError) in
            Parallel.forEachRange(of: count, size: 1 << 18) { range in
                weight.dequantize(elements: range, as: .bf16, into: target.pointer + range.lowerBound * 2)
            }
        }
    }

    static let quantizeInt8 = Benchmark(
        "quantize-int8", .kernels, "bf16 to 8-bit blocks, in memory"
    ) { () throws(CrayonError) in
        let tensor = RandomWeights.bfloat16(rows: rows, columns: columns)
        let quantizer = try Int8Quantizer()
        let result = try quantizer.quantize(tensor)
        return Benchmark.Prepared(
            subject, amount: Double(count), unit: .parameters,
            floor: Floor([.memoryCopy: Double(tensor.region.count + result.byteCount)])
        ) { () throws(CrayonError) in _ = try quantizer.quantize(tensor) }
    }
}

import Bytes
import Kernels
import Layers
import Quantization
import Tensors

/// Linear layers over NF4 weights: one row, as in decoding, and many; in integers, and one of each in float32. And one row with
/// the output head, which is kept in 16 bits or in 8.
enum LinearBenchmarks {
    static let all =
        [
            (LayerShape.inner, LayerShape.hidden), (LayerShape.hidden, LayerShape.inner),
            (LayerShape.fused, LayerShape.hidden),
        ].map { row(outputs: $0.0, inputs: $0.1, .int16) }
        + [
            (512, LayerShape.inner, LayerShape.hidden), (1300, LayerShape.inner, LayerShape.hidden),
            (1300, LayerShape.hidden, LayerShape.inner),
        ]
        .map { rows($0.0, outputs: $0.1, inputs: $0.2, .int16) }
        + [
            head("bf16") { .dense($0) },
            head("int8") { (source) throws(CrayonError) in .int8(try Int8Quantizer().quantize(source)) },
            row(outputs: LayerShape.inner, inputs: LayerShape.hidden, .float32),
            rows(512, outputs: LayerShape.inner, inputs: LayerShape.hidden, .float32), gradient,
        ]

    private static func weight(_ outputs: Int, _ inputs: Int) throws(CrayonError) -> NF4Tensor {
        try NF4Quantizer().quantize(RandomWeights.bfloat16(rows: outputs, columns: inputs))
    }

    private static func suffix(_ arithmetic: Arithmetic) -> String { arithmetic == .float32 ? "-float32" : "" }

    /// The same weight in other memory.
    private static func copy(_ weight: NF4Tensor) throws(CrayonError) -> NF4Tensor {
        let scales: NF4Tensor.Scales =
            switch weight.scales {
            case .single(let absmax): .single(absmax: ByteRegion(copying: absmax.buffer))
            case .double(let nested):
                .double(
                    NF4Tensor.DoubleQuantizedScales(
                        codes: ByteRegion(copying: nested.codes.buffer),
                        nestedAbsmax: ByteRegion(copying: nested.nestedAbsmax.buffer),
                        nestedBlockSize: nested.nestedBlockSize, offset: nested.offset))
            }
        return try NF4Tensor(
            shape: weight.shape, blockSize: weight.blockSize, codes: ByteRegion(copying: weight.codes.buffer),
            scales: scales, sourceType: weight.sourceType)
    }

    /// One row of activations with several weights in turn, each read from memory.
    private static func row(outputs: Int, inputs: Int, _ arithmetic: Arithmetic) -> Benchmark {
        Benchmark(
            "row\(suffix(arithmetic))-\(outputs)x\(inputs)", .kernels,
            "one row with an NF4 weight, as in decoding, in \(arithmetic.rawValue)"
        ) { () throws(CrayonError) in
            let first = try weight(outputs, inputs)
            var layers = [Linear(weight: .nf4(first), arithmetic: arithmetic)]
            for _ in 1..<RandomWeights.copiesPastCache(of: first.byteCount) {
                layers.append(Linear(weight: .nf4(try copy(first)), arithmetic: arithmetic))
            }
            let x = RandomWeights.matrix(rows: 1, columns: inputs)
            let y = Matrix(rows: 1, columns: outputs)
            let workspace = Workspace()
            let bytes = Double(layers.count * first.byteCount)
            return Benchmark.Prepared(
                "NF4 \(outputs) x \(inputs), \(layers.count) weights", amount: bytes, unit: .bytes,
                floor: Floor([.memoryRead: bytes])
            ) { () throws(CrayonError) in
                for layer in layers { layer.forward(x.view, into: y.view, workspace: workspace) }
            }
        }
    }

    /// One row of activations with two heads in turn, neither of which a cache holds.
    private static func head(
        _ format: String, _ store: @escaping @Sendable (Tensor) throws(CrayonError) -> StoredWeight
    ) -> Benchmark {
        let (outputs, inputs) = (LayerShape.vocabulary, LayerShape.hidden)
        return Benchmark(
            "row-\(format)-\(outputs)x\(inputs)", .kernels, "one row with an output head in \(format), as in decoding"
        ) { () throws(CrayonError) in
            let weights = try (0..<2).map { (seed) throws(CrayonError) in
                try store(RandomWeights.bfloat16(rows: outputs, columns: inputs, seed: UInt64(seed)))
            }
            let layers = weights.map { Linear(weight: $0, arithmetic: .int16) }
            let x = RandomWeights.matrix(rows: 1, columns: inputs)
            let y = Matrix(rows: 1, columns: outputs)
            let workspace = Workspace()
            let bytes = weights.reduce(0) { $0 + Double($1.byteCount) }
            return Benchmark.Prepared(
                "\(format) \(outputs) x \(inputs), \(layers.count) weights", amount: bytes, unit: .bytes,
                floor: Floor([.memoryRead: bytes])
            ) { () throws(CrayonError) in
                for layer in layers { layer.forward(x.view, into: y.view, workspace: workspace) }
            }
        }
    }

    private static func rows(_ count: Int, outputs: Int, inputs: Int, _ arithmetic: Arithmetic) -> Benchmark {
        Benchmark(
            "linear\(suffix(arithmetic))-\(count)-\(outputs)x\(inputs)", .kernels,
            "\(count) rows with an NF4 weight, as in a prefill, in \(arithmetic.rawValue)"
        ) { () throws(CrayonError) in
            let layer = Linear(weight: .nf4(try weight(outputs, inputs)), arithmetic: arithmetic)
            let x = RandomWeights.matrix(rows: count, columns: inputs)
            let y = Matrix(rows: count, columns: outputs)
            let workspace = Workspace()
            let operations = Double(2 * count * outputs * inputs)
            return Benchmark.Prepared(
                "\(count) rows, NF4 \(outputs) x \(inputs)", amount: operations, unit: .operations,
                floor: Floor([.products: operations])
            ) { () throws(CrayonError) in layer.forward(x.view, into: y.view, workspace: workspace) }
        }
    }

    private static let gradient = Benchmark(
        "linear-gradient", .kernels, "the gradient of 512 rows through an NF4 weight, as in training"
    ) { () throws(CrayonError) in
        let (count, outputs, inputs) = (512, LayerShape.inner, LayerShape.hidden)
        let layer = Linear(weight: .nf4(try weight(outputs, inputs)))
        let dy = RandomWeights.matrix(rows: count, columns: outputs)
        let dx = Matrix(rows: count, columns: inputs)
        let workspace = Workspace()
        let operations = Double(2 * count * outputs * inputs)
        return Benchmark.Prepared(
            "\(count) rows, NF4 \(outputs) x \(inputs)", amount: operations, unit: .operations,
            floor: Floor([.products: operations])
        ) { () throws(CrayonError) in layer.inputGradient(dy.view, into: dx.view, workspace: workspace) }
    }
}

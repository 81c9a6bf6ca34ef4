import Bytes
import Checkpoints
import Conversion
import Foundation
import JSON
import Quantization
import Tensors
import Testing

/// Checkpoints of models that Crayon does not know, as bitsandbytes' folders.
@Suite struct GenericTests {
    private func random(_ name: String, _ dims: [Int], _ type: ElementType = .f32, _ seed: UInt64 = 1) -> Tensor {
        var random = SplitMix64(seed: seed &+ UInt64(truncatingIfNeeded: name.utf8.reduce(0) { $0 &* 31 &+ Int($1) }))
        let values = (0..<dims.reduce(1, *)).map { _ in Float(random.uniform() - 0.5) }
        return Tensor(
            name: name, type: type, shape: Shape(dims), region: ByteRegion(copying: encoded(values, as: type)))
    }

    private func write(_ tensors: [Tensor], _ config: String, to folder: String) throws {
        try SafetensorsWriter.write(tensors, to: "\(folder)/model.safetensors")
        try AtomicFile.write(Array(config.utf8), to: "\(folder)/config.json")
    }

    private func run(
        _ folder: String, to output: String, double: Bool = true, block: Int = 64, type: ElementType? = nil,
        skips: [String]? = nil, shard: Int = .max
    ) throws -> GenericReport {
        let quantizer = try NF4Quantizer(blockSize: block, doubleQuantization: double)
        return try GenericQuantization(
            options: .init(quantizer: quantizer, type: type, skips: skips, shardLimit: shard)
        ).run(folder, to: output)
    }

    private func gpt2(in folder: String, _ type: ElementType = .f32) throws -> [Tensor] {
        let tensors = [
            random("transformer.wte.weight", [50, 24], type), random("transformer.wpe.weight", [16, 24], type),
            random("transformer.h.0.ln_1.weight", [24], type),
            random("transformer.h.0.attn.c_attn.weight", [24, 72], type),
            random("transformer.h.0.attn.c_attn.bias", [72], type),
            random("transformer.h.0.mlp.c_fc.weight", [24, 97], type),
        ]
        try write(tensors, #"{"model_type": "gpt2", "vocab_size": 50}"#, to: folder)
        return tensors
    }

    private func transposed(_ tensor: Tensor) -> Tensor {
        let values = decoded(tensor)
        let (rows, columns) = (tensor.shape[0], tensor.shape[1])
        let turned = (0..<columns).flatMap { column in (0..<rows).map { values[$0 * columns + column] } }
        return Tensor(
            name: tensor.name, type: tensor.type, shape: Shape([columns, rows]),
            region: ByteRegion(copying: encoded(turned, as: tensor.type)))
    }

    /// `Conv1D` weights are quantized as `[out, in]`; every tensor has the quantizer's bytes, the others their own.
    @Test(arguments: [(true, 64), (false, 64), (true, 256)]) func convolutionsOfOneAreTransposed(
        double: Bool, block: Int
    )
        throws
    {
        try withFolder { folder in
            let tensors = try gpt2(in: folder, .bf16)
            let report = try run(folder, to: "\(folder)/out", double: double, block: block)
            #expect(report.quantized.count == 2 && report.warnings.isEmpty)
            #expect(report.kept.map { $0.names.count } == [2, 2])
            let made = try SafetensorsFile(path: "\(folder)/out/model.safetensors")
            var expected: [Tensor] = []
            let quantizer = try NF4Quantizer(blockSize: block, doubleQuantization: double)
            for tensor in tensors {
                if report.quantized.contains(tensor.name) {
                    expected += try quantizer.quantize(transposed(tensor)).components(named: tensor.name)
                } else {
                    expected.append(tensor)
                }
            }
            #expect(Set(made.names) == Set(expected.map(\.name)))
            for tensor in expected {
                let found = try #require(made.tensor(tensor.name))
                #expect(found.type == tensor.type && found.shape == tensor.shape, "\(tensor.name)")
                #expect(found.region.array == tensor.region.array, "\(tensor.name)")
            }
            let config = try JSONReader(file: "\(folder)/out/config.json")
            let quantization = try config.object("quantization_config")
            #expect(try quantization.bool("bnb_4bit_use_double_quant") == double)
            #expect(quantization.object["llm_int8_skip_modules"] == .null)
            #expect(try config.string("dtype") == "bfloat16" && config.int("vocab_size") == 50)
        }
    }

    /// Weights larger than a run, cast before, in shards; what comes out is read back as what was quantized.
    @Test func largeWeightsAreCastAndSharded() throws {
        try withFolder { folder in
            let large = random("model.layers.0.mlp.up_proj.weight", [1100, 1024])
            let small = random("model.layers.0.mlp.down_proj.weight", [64, 64])
            try write(
                [large, small, random("lm_head.weight", [20, 64]), random("model.embed_tokens.weight", [20, 64])],
                #"{"model_type": "qwen2", "torch_dtype": "float32"}"#, to: folder)
            let report = try run(folder, to: "\(folder)/out", type: .f16, shard: 100_000)
            #expect(report.files.contains("model.safetensors.index.json"))
            let made = try openWeights("\(folder)/out")
            for tensor in [large, small] {
                let cast = Tensor(
                    name: tensor.name, type: .f16, shape: tensor.shape,
                    region: ByteRegion(copying: encoded(decoded(tensor), as: .f16)))
                let stored = try #require(try made.weight(tensor.name))
                #expect(stored.components == StoredWeight.nf4(try NF4Quantizer().quantize(cast)).components)
            }
            #expect(made.entry("lm_head.weight")?.type == .f16)
            #expect(try JSONReader(file: "\(folder)/out/config.json").string("torch_dtype") == "float16")
        }
    }

    /// What is left alone, and what is said of it.
    @Test func reasonsAreGiven() throws {
        try withFolder { folder in
            let names: KeyValuePairs<String, ([Int], String?)> = [
                "model.embed_tokens.weight": ([20, 32], "embeddings"),
                "model.layers.0.block_sparse_moe.gate.weight": ([4, 32], "routers"),
                "model.layers.0.block_sparse_moe.experts.0.w1.weight": ([8, 32], "experts"),
                "model.layers.0.self_attn.q_proj.weight": ([32, 32], nil),
                "vision.patch_embed.proj.weight": ([8, 3, 4, 4], "convolutions"),
                "vision.merger.mlp.0.weight": ([8, 8], nil),
                "query_tokens": ([1, 4, 8], "parameters"),
                "probe.attention.in_proj_weight": ([24, 8], "parameters"),
                "probe.attention.out_proj.weight": ([8, 8], "torch's own"),
                "text.lm_head.weight": ([20, 32], "heads"),
                "score.weight": ([2, 32], "heads"),
                "inputs_embeds_projector.weight": ([8, 8], nil),
                "norm.weight": ([32], "vectors"),
            ]
            try write(names.map { random($0, $1.0) }, #"{"model_type": "something-new"}"#, to: folder)
            let report = try run(folder, to: "\(folder)/out")
            for (name, (_, word)) in names {
                guard let word else {
                    #expect(report.quantized.contains(name), "\(name)")
                    continue
                }
                let kept = report.kept.first { $0.names.contains(name) }
                #expect(kept?.reason.contains(word) == true, "\(name): \(kept?.reason ?? "quantized")")
            }
            #expect(report.warnings.contains { $0.contains("llm_int8_skip_modules") })
            let config = try JSONReader(file: "\(folder)/out/config.json").object("quantization_config")
            #expect(
                try config.strings("llm_int8_skip_modules") == [
                    "model.embed_tokens", "model.layers.0.block_sparse_moe.gate",
                    "model.layers.0.block_sparse_moe.experts.0.w1", "probe.attention.out_proj", "text.lm_head", "score",
                ])
        }
    }

    /// `--skip` follows transformers' rule: from the start to the end of a name, as an expression, or at the end.
    @Test(arguments: [
        ("lm_head", ["lm_head"]), ("up_proj", ["layers.1.up_proj", "layers.11.up_proj"]),
        ("layers.1", ["layers.1.up_proj", "layers.1.down"]),
        ("layers.*.down", ["layers.1.down"]),
        ("layers\\.[0-9]+", ["layers.1.up_proj", "layers.1.down", "layers.11.up_proj"]),
        ("layers.1.up", []),
    ]) func skippedModulesFollowTheRule(pattern: String, expected: [String]) throws {
        try withFolder { folder in
            let modules = ["lm_head", "layers.1.up_proj", "layers.1.down", "layers.11.up_proj", "other"]
            try write(modules.map { random("\($0).weight", [8, 8]) }, #"{"model_type": "qwen2"}"#, to: folder)
            let report = try run(folder, to: "\(folder)/out", skips: [pattern])
            #expect(Set(report.quantized) == Set(modules.filter { !expected.contains($0) }.map { "\($0).weight" }))
            let config = try JSONReader(file: "\(folder)/out/config.json").object("quantization_config")
            #expect(try config.strings("llm_int8_skip_modules") == [pattern])
        }
    }

    @Test func nothingIsLeftOfWhatIsRefused() throws {
        try withFolder { folder in
            var values = [Float](repeating: 0.5, count: 64)
            values[37] = .nan
            for name in ["layers.0.q_proj.weight", "norm.weight"] {
                let bad = Tensor(name: name, shape: Shape(name.hasPrefix("norm") ? [64] : [8, 8]), values: values)
                try write([random("a.weight", [8, 8]), bad], "{}", to: folder)
                let error = #expect(throws: CrayonError.self) { try run(folder, to: "\(folder)/out") }
                #expect(error?.description.contains("index 37") == true && error?.item == "tensor '\(name)'")
                #expect(!FileManager.default.fileExists(atPath: "\(folder)/out"))
            }
            try write([random("norm.weight", [8])], "{}", to: folder)
            #expect(throws: CrayonError.self) { try run(folder, to: "\(folder)/out") }
            try write(
                [Tensor(name: "a.weight", shape: Shape([1, 2]), values: [1e20, 1] as [Float])], "{}", to: folder)
            #expect(throws: CrayonError.self) { try run(folder, to: "\(folder)/out", type: .f16) }
            _ = try run(folder, to: "\(folder)/out")
            // The folder has a model now.
            #expect(throws: CrayonError.self) { try run(folder, to: "\(folder)/out") }
            #expect(throws: CrayonError.self) { try run(folder, to: "\(folder)/b", skips: ["("]) }
            #expect(throws: CrayonError.self) { try run("\(folder)/model.safetensors", to: "\(folder)/b") }
        }
    }
}

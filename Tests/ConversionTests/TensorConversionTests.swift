import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Conversion
import Foundation
import JSON
import Quantization
import Tensors
import Testing

/// Checkpoints in other formats.
@Suite struct TensorConversionTests {
    /// Every type in shapes of every kind, of random bytes.
    private func tensors(_ types: [ElementType] = ElementType.allCases) -> [Tensor] {
        var random = SplitMix64(seed: 3)
        return types.flatMap { type in
            [[], [0], [7], [3, 5], [2, 1, 3, 2]].map { dims in
                let shape = Shape(dims)
                let bytes = (0..<shape.count * type.byteCount).map { _ in
                    UInt8(truncatingIfNeeded: random.next()) & (type == .bool ? 1 : 0xFF)
                }
                return Tensor(
                    name: "\(type.rawValue).é\(dims.count)/\(shape.count)", type: type, shape: shape,
                    region: ByteRegion(copying: bytes))
            }
        }
    }

    private func expectEqual(_ path: String, _ expected: [Tensor]) throws {
        let found = try openCheckpoint(path)
        #expect(Set(found.names) == Set(expected.map(\.name)) && found.names.count == expected.count)
        for tensor in expected {
            let other = try #require(try found.tensor(tensor.name))
            #expect(other.type == tensor.type && other.shape == tensor.shape, "\(tensor.name)")
            #expect(other.region.array == tensor.region.array, "\(tensor.name)")
        }
    }

    private static let pairs: [(String, String)] = {
        let names = ["a.safetensors", "b.pth", "c.npz"]
        return names.flatMap { a in names.map { (a, "to-\($0)") } }
    }()

    /// Between any two formats and back everything comes out as it went in, to the byte.
    @Test(arguments: pairs) func bytesSurvive(first: String, second: String) throws {
        try withFolder { folder in
            let isNumPy = first.hasSuffix("npz") || second.hasSuffix("npz")
            let all = tensors(ElementType.allCases.filter { !isNumPy || NumPyWriter.holds($0) })
            try SafetensorsWriter.write(all, to: "\(folder)/start.safetensors")
            var last = "start.safetensors"
            for name in [first, second, "end.safetensors"] {
                let report = try TensorConversion().run("\(folder)/\(last)", to: "\(folder)/\(name)")
                #expect(report.warnings.isEmpty && report.tensorCount == all.count)
                try expectEqual("\(folder)/\(name)", all)
                last = name
            }
        }
    }

    /// The same tensors give the same bytes, whatever they came from.
    @Test(arguments: ["x.pt", "x.npz", "x.safetensors"]) func filesAreReproducible(name: String) throws {
        try withFolder { folder in
            try SafetensorsWriter.write(tensors([.f32, .i64]), to: "\(folder)/start.safetensors")
            _ = try TensorConversion().run("\(folder)/start.safetensors", to: "\(folder)/\(name)")
            _ = try TensorConversion().run("\(folder)/\(name)", to: "\(folder)/again-\(name)")
            #expect(try contents(of: folder)[name] == contents(of: folder)["again-\(name)"])
        }
    }

    @Test(arguments: [(ElementType.f32, "f16"), (.f32, "bf16"), (.f16, "f32"), (.bf16, "f16"), (.f64, "bf16")])
    func typesAreChanged(from: ElementType, to: String) throws {
        try withFolder { folder in
            let type = try #require(ElementType(rawValue: to.uppercased()))
            var random = SplitMix64(seed: 5)
            let values = (0..<1000).map { _ in Float(random.uniform() * 4 - 2) } + [.infinity, -.infinity]
            let source = Tensor(
                name: "a", type: from, shape: Shape([1002]), region: ByteRegion(copying: encoded(values, as: from)))
            try SafetensorsWriter.write(
                [source, Tensor(name: "b", shape: Shape([2]), values: [1, 2] as [Int64])], to: "\(folder)/a.safetensors"
            )
            let wanted = try #require(ExportOptions.DequantizedType(rawValue: to))
            let report = try TensorConversion(options: .init(type: wanted)).run(
                "\(folder)/a.safetensors", to: "\(folder)/b.pth")
            #expect(report.warnings.contains { $0.contains("lose digits") } == (type != .f32))
            let made = try #require(try openCheckpoint("\(folder)/b.pth").tensor("a"))
            #expect(made.type == type && made.region.array == encoded(decoded(source), as: type))
        }
    }

    /// What NumPy has no type for: BF16 becomes F32 and is said, the rest is refused by name.
    @Test func numpyHoldsWhatItCan() throws {
        try withFolder { folder in
            let half = tensors([.bf16])
            try SafetensorsWriter.write(half, to: "\(folder)/a.safetensors")
            let report = try TensorConversion().run("\(folder)/a.safetensors", to: "\(folder)/a.npz")
            #expect(report.warnings.contains { $0.contains("BF16") })
            let made = try openCheckpoint("\(folder)/a.npz")
            for tensor in half {
                let other = try #require(try made.tensor(tensor.name))
                #expect(other.type == .f32)
                let pairs = zip(decoded(other), decoded(tensor))
                #expect(pairs.allSatisfy { $0 == $1 || ($0.isNaN && $1.isNaN) })
            }
            try SafetensorsWriter.write(tensors([.f8e5m2]), to: "\(folder)/b.safetensors")
            let error = #expect(throws: CrayonError.self) {
                try TensorConversion().run("\(folder)/b.safetensors", to: "\(folder)/b.npz")
            }
            #expect(error?.description.contains("F8_E5M2") == true)
            #expect(!FileManager.default.fileExists(atPath: "\(folder)/b.npz"))
        }
    }

    /// Folders carry their small files; quantized weights become numbers, and config.json no longer says that they are.
    @Test func foldersAreWhole() throws {
        try withFolder { folder in
            try FileManager.default.createDirectory(atPath: "\(folder)/in", withIntermediateDirectories: true)
            let weight = Tensor(
                name: "a.weight", type: .f16, shape: Shape([16, 8]),
                region: ByteRegion(copying: encoded((0..<128).map { Float($0) / 64 - 1 }, as: .f16)))
            let quantized = try NF4Quantizer().quantize(weight)
            let norm = Tensor(name: "n.weight", shape: Shape([3]), values: [1, 2, 3] as [Float])
            try SafetensorsWriter.write(
                quantized.components(named: "a.weight") + [norm], to: "\(folder)/in/model.safetensors")
            let config = #"{"torch_dtype": "float16", "quantization_config": {"quant_method": "bitsandbytes"}}"#
            try AtomicFile.write(Array(config.utf8), to: "\(folder)/in/config.json")
            try AtomicFile.write(Array("{}".utf8), to: "\(folder)/in/tokenizer.json")
            for target in [TensorConversion.Target.safetensors, .pytorch, .npz] {
                let out = "\(folder)/\(target)"
                let report = try TensorConversion(options: .init(target: target, type: .f32, shardLimit: 64)).run(
                    "\(folder)/in", to: out)
                #expect(report.warnings.contains { $0.contains("quantized weights") })
                #expect(report.files.contains("tokenizer.json"))
                #expect(report.files.filter { $0.contains("-00002.") }.count == 2)
                #expect(report.files.filter { $0.hasSuffix(".index.json") }.count == 1)
                let made = try openCheckpoint(out)
                let source = try #require(try openWeights("\(folder)/in").tensor("a.weight"))
                let tensor = try #require(try made.tensor("a.weight"))
                #expect(tensor.shape == weight.shape && decoded(tensor) == decoded(source))
                #expect(made.names.sorted() == ["a.weight", "n.weight"])
                let text = try JSONReader(file: "\(out)/config.json")
                #expect(text.object["quantization_config"] == nil)
                #expect(try text.string("torch_dtype") == "float32")
                // Not twice, but for --overwrite.
                #expect(throws: CrayonError.self) {
                    try TensorConversion(options: .init(target: target)).run("\(folder)/in", to: out)
                }
                _ = try TensorConversion(options: .init(target: target, overwrites: true)).run("\(folder)/in", to: out)
                #expect(try openCheckpoint(out).entry("a.weight")?.type == .f16)
                // What was there in shards is one file now.
                let name = [TensorConversion.Target.pytorch: "pytorch_model.bin", .npz: "model.npz"][target]
                #expect(
                    Set(try contents(of: out).keys) == [
                        "config.json", name ?? "model.safetensors", "tokenizer.json",
                    ])
            }
            // PyTorch's weights beside safetensors would not be read.
            #expect(throws: CrayonError.self) {
                try TensorConversion(options: .init(target: .pytorch, overwrites: true)).run(
                    "\(folder)/in", to: "\(folder)/safetensors")
            }
        }
    }

    /// Shards of PyTorch's and NumPy's files: as many as fit go into each, the index says which; a file that is missing is named.
    @Test(arguments: [TensorConversion.Target.pytorch, .npz])
    func archivesInShards(target: TensorConversion.Target) throws {
        try withFolder { folder in
            let sizes = [3, 5, 40, 1, 2, 2]
            let tensors = sizes.enumerated().map { index, size in
                Tensor(name: "t\(index)", shape: Shape([size]), values: (0..<size).map { Float($0 + 10 * index) })
            }
            try SafetensorsWriter.write(tensors, to: "\(folder)/a.safetensors")
            let out = "\(folder)/out"
            let report = try TensorConversion(options: .init(target: target, shardLimit: 32)).run(
                "\(folder)/a.safetensors", to: out)
            let base = target == .pytorch ? "pytorch_model" : "model"
            let ending = target == .pytorch ? ".bin" : ".npz"
            let files = (1...3).map { "\(base)-0000\($0)-of-00003\(ending)" }
            #expect(report.files == files + ["\(base)\(ending).index.json"])
            let map = try JSONReader(file: "\(out)/\(base)\(ending).index.json").object("weight_map")
            #expect(map.object.names == (0..<6).map { "t\($0)" })
            // 12 + 20 bytes, 160, and 4 + 8 + 8.
            let expected = [0, 0, 1, 2, 2, 2].map { files[$0] }
            #expect(try (0..<6).map { try map.string("t\($0)") } == expected)
            let made = try openCheckpoint(out)
            for tensor in tensors { #expect(try made.tensor(tensor.name)?.region.array == tensor.region.array) }
            #expect(throws: CrayonError.self) {
                try TensorConversion(options: .init(target: target)).run("\(folder)/a.safetensors", to: out)
            }
            try FileManager.default.removeItem(atPath: "\(out)/\(files[1])")
            let error = #expect(throws: CrayonError.self) { try openCheckpoint(out) }
            #expect(error?.description.contains(files[1]) == true)
            // Without a limit there is one file.
            _ = try TensorConversion(options: .init(target: target, overwrites: true)).run(
                "\(folder)/a.safetensors", to: out)
            #expect(try contents(of: out).keys.sorted() == [base + ending])
        }
    }

    /// GGUF is written of layouts that are known, and comes back as the checkpoint; of others it is said why not.
    @Test func ggufIsWrittenAndRead() throws {
        try withFolder { folder in
            let fixture = "\(GGUFExportTests.fixtures)/gguf/llama"
            _ = try TensorConversion().run(fixture, to: "\(folder)/a.gguf")
            let source = try openCheckpoint(fixture)
            for output in ["\(folder)/b", "\(folder)/b.pth"] {
                _ = try TensorConversion().run("\(folder)/a.gguf", to: output)
                let made = try openCheckpoint(output)
                for name in made.names {
                    let (a, b) = (try #require(try made.tensor(name)), try #require(try source.tensor(name)))
                    #expect(a.shape == b.shape && decoded(a) == decoded(b), "\(name)")
                }
                #expect(Set(made.names) == Set(source.names))
            }
            #expect(FileManager.default.fileExists(atPath: "\(folder)/b/config.json"))
            // A folder with nothing but a GGUF file is the model in it.
            try FileManager.default.createDirectory(atPath: "\(folder)/g", withIntermediateDirectories: true)
            try FileManager.default.copyItem(atPath: "\(folder)/a.gguf", toPath: "\(folder)/g/m.gguf")
            #expect(try CheckpointModel.open("\(folder)/g").configuration.layout == "llama")
            #expect(try ModelSummary(path: "\(folder)/g").kind == "checkpoint (llama), GGUF")
            #expect(try ModelSummary(path: fixture).kind == "checkpoint (llama)")
            try SafetensorsWriter.write(tensors([.f32]), to: "\(folder)/x.safetensors")
            let error = #expect(throws: CrayonError.self) {
                try TensorConversion().run("\(folder)/x.safetensors", to: "\(folder)/x.gguf")
            }
            #expect(error?.description.contains("Llama, InternLM2 and Qwen2") == true)
        }
    }

    @Test func bundlesAreUnpacked() throws {
        try withFolder { folder in
            try LlamaFolder().write(to: folder)
            let model = try CheckpointModel.open(folder)
            try convert(model, to: "\(folder)/m.crayon", ["backbone=source"])
            _ = try TensorConversion().run("\(folder)/m.crayon", to: "\(folder)/m.pth")
            let (made, source) = (try openCheckpoint("\(folder)/m.pth"), try openCheckpoint(folder))
            for name in source.names {
                #expect(try made.tensor(name)?.region.array == source.tensor(name)?.region.array, "\(name)")
            }
            try convert(model, to: "\(folder)/q.crayon")
            let report = try TensorConversion().run("\(folder)/q.crayon", to: "\(folder)/q.npz")
            #expect(report.warnings.contains { $0.contains("quantized weights") })
            let name = LlamaFolder.query
            let expected = try #require(try source.tensor(name))
            let quantized = try NF4Quantizer().quantize(expected)
            let found = try #require(try openCheckpoint("\(folder)/q.npz").tensor(name))
            var values = [Float](repeating: 0, count: expected.shape.count)
            quantized.dequantize(elements: 0..<values.count, into: &values)
            #expect(encoded(decoded(found), as: .bf16) == encoded(values, as: .bf16))
        }
    }

    @Test func refusals() throws {
        try withFolder { folder in
            try SafetensorsWriter.write(tensors([.f32]), to: "\(folder)/a.safetensors")
            let error = #expect(throws: CrayonError.self) {
                try TensorConversion().run("\(folder)/a.safetensors", to: "\(folder)/a.crayon")
            }
            #expect(error?.description.contains("crayon quantize") == true)
            #expect(throws: CrayonError.self) {
                try TensorConversion().run("\(folder)/a.safetensors", to: "\(folder)/a.safetensors")
            }
            let huge = Tensor(name: "a", shape: Shape([2]), values: [1, 1e30] as [Float])
            try SafetensorsWriter.write([huge], to: "\(folder)/h.safetensors")
            let overflow = #expect(throws: CrayonError.self) {
                try TensorConversion(options: .init(type: .f16)).run("\(folder)/h.safetensors", to: "\(folder)/h.pth")
            }
            #expect(overflow?.description.contains("index 1") == true)
            #expect(!FileManager.default.fileExists(atPath: "\(folder)/h.pth"))
            try SafetensorsWriter.write(
                [Tensor(name: "a\0b", shape: Shape([1]), values: [1] as [Float])], to: "\(folder)/n.safetensors")
            #expect(throws: CrayonError.self) {
                try TensorConversion().run("\(folder)/n.safetensors", to: "\(folder)/n.npz")
            }
        }
    }
}

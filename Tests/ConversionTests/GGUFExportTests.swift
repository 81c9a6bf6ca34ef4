import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Conversion
import Foundation
import Quantization
import Tensors
import Testing

@Suite struct GGUFExportTests {
    static let fixtures: String = {
        let parts = #filePath.split(separator: "/").dropLast(2)
        return "/" + parts.joined(separator: "/") + "/Fixtures"
    }()

    /// What is written of a bundle is what llama.cpp's converter writes of the checkpoint: tensors to the byte.
    @Test(arguments: ["llama", "internlm2"]) func tensorsAreTheConverters(family: String) throws {
        try withFolder { folder in
            let bundle = "\(folder)/a.crayon"
            try convert(CheckpointModel.open("\(Self.fixtures)/gguf/\(family)"), to: bundle, ["backbone=source"])
            let report = try GGUFExport(BundleReader(path: bundle), options: .init(type: .q80)).run(
                to: "\(folder)/a.gguf")
            #expect(report.warnings.contains { $0.contains("no vocabulary") })
            let made = try GGUFFile(path: "\(folder)/a.gguf")
            let expected = try GGUFFile(path: "\(Self.fixtures)/gguf/\(family)-q8_0.gguf")
            #expect(Set(made.names) == Set(expected.names))
            for name in expected.names {
                let (a, b) = (try #require(made.stored(name)), try #require(expected.stored(name)))
                #expect(a.type == b.type && a.shape == b.shape, "\(name)")
                #expect(a.region.array == b.region.array, "\(name)")
            }
            for (key, value) in expected.metadata where key.hasPrefix(family) {
                #expect(made.metadata(key)?.number == value.number, "\(key)")
            }
        }
    }

    /// Metadata of a tokenizer come back as the same metadata.
    @Test func vocabularyIsTheConverters() throws {
        try withFolder { folder in
            let source = "\(Self.fixtures)/gguf/llama-q8_0.gguf"
            let bundle = "\(folder)/a.crayon"
            try convert(CheckpointModel.open(source), to: bundle)
            let report = try GGUFExport(BundleReader(path: bundle), options: .init(type: .f16)).run(
                to: "\(folder)/a.gguf")
            #expect(report.warnings.isEmpty)
            let (made, expected) = (try GGUFFile(path: "\(folder)/a.gguf"), try GGUFFile(path: source))
            for key in ["tokens", "scores", "token_type"] {
                let name = "tokenizer.ggml.\(key)"
                let (a, b) = (try #require(made.metadata(name)?.array), try #require(expected.metadata(name)?.array))
                #expect(a.count == b.count)
                #expect(a.strings?.map(\.array) == b.strings?.map(\.array) && a.numbers == b.numbers, "\(key)")
            }
            for key in ["bos_token_id", "eos_token_id", "pre", "model", "add_bos_token"] {
                let name = "tokenizer.ggml.\(key)"
                guard let value = expected.metadata(name) else { continue }
                #expect(
                    made.metadata(name)?.number == value.number && made.metadata(name)?.string == value.string, "\(key)"
                )
            }
            #expect(made.metadata("tokenizer.chat_template")?.string == "{{ x }}")
        }
    }

    /// Every layout that llama.cpp knows, out of a bundle and back in, has its numbers; 4-bit weights what they stand for.
    @Test(arguments: ["llama", "llama-biases", "mistral", "qwen2", "internlm2-plain", "vicuna-linear-rope"])
    func modelsComeBack(name: String) throws {
        try withFolder { folder in
            let bundle = "\(folder)/a.crayon"
            try convert(CheckpointModel.open("\(Self.fixtures)/models/\(name)"), to: bundle)
            let source = try BundleReader(path: bundle)
            _ = try GGUFExport(source, options: .init(type: .f32)).run(to: "\(folder)/a.gguf")
            let model = try CheckpointModel.open("\(folder)/a.gguf")
            let (read, backbone) = (model.configuration.backbone, source.configuration.backbone)
            #expect(read.headCount == backbone.headCount && read.keyValueHeadCount == backbone.keyValueHeadCount)
            #expect(
                read.hasQueryKeyValueBias == backbone.hasQueryKeyValueBias && read.isHeadTied == backbone.isHeadTied)
            #expect(read.normEpsilon == backbone.normEpsilon && read.rope.base == backbone.rope.base)
            for binding in model.bindings {
                let weight = try #require(try source.weight(binding.role), "\(binding.role)")
                let count = binding.shape.count
                var expected = [Float](repeating: 0, count: count)
                weight.dequantize(elements: 0..<count, into: &expected)
                let tensor = try binding.tensor()
                #expect(tensor.region.array == expected.withUnsafeBytes(Array.init), "\(binding.role)")
            }
        }
    }

    /// Frequencies of the model's own go through a bundle, a GGUF file and back, and through an export for transformers.
    @Test(arguments: ["llama3-rope", "longrope-equal"]) func frequenciesComeBack(name: String) throws {
        try withFolder { folder in
            let (bundle, gguf) = ("\(folder)/a.crayon", "\(folder)/a.gguf")
            try convert(CheckpointModel.open("\(Self.fixtures)/models/\(name)"), to: bundle)
            let source = try BundleReader(path: bundle)
            let (rope, size) = (source.configuration.backbone.rope, source.configuration.backbone.headSize)
            let divisors = try #require(rope.frequencyDivisors(headSize: size))
            let report = try GGUFExport(source, options: .init(type: .f32)).run(to: gguf)
            #expect(report.warnings.allSatisfy { !$0.contains("rotary") })
            let stored = try #require(try GGUFFile(path: gguf).tensor(GGUFFrequencies.name))
            #expect(stored.region.array == divisors.withUnsafeBytes(Array.init))
            let model = try CheckpointModel.open(gguf)
            #expect(model.configuration.backbone.rope.scaling == .frequencies(factors: divisors))
            #expect(!model.unused.contains { $0.name == GGUFFrequencies.name })

            _ = try Export(source).run(to: "\(folder)/hf")
            #expect(try CheckpointModel.open("\(folder)/hf").configuration.backbone.rope == rope)
            try convert(model, to: "\(folder)/b.crayon")
            _ = try Export(BundleReader(path: "\(folder)/b.crayon")).run(to: "\(folder)/back")
            let back = try CheckpointModel.open("\(folder)/back").configuration.backbone.rope
            #expect(back.scaling == .frequencies(factors: divisors))
        }
    }

    /// llama.cpp reads frequencies of a Llama only.
    @Test func frequenciesMakeALlama() throws {
        try withFolder { folder in
            let copy = "\(folder)/qwen2"
            try FileManager.default.copyItem(atPath: "\(Self.fixtures)/models/qwen2", toPath: copy)
            var config = try String(contentsOfFile: "\(copy)/config.json", encoding: .utf8)
            config = config.replacing(
                "\"rope_type\": \"default\"",
                with: "\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4")
            try config.write(toFile: "\(copy)/config.json", atomically: true, encoding: .utf8)
            let source = try CheckpointModel.open(copy)
            _ = try GGUFExport(source, options: .init(type: .f32)).run(to: "\(folder)/a.gguf")
            let model = try CheckpointModel.open("\(folder)/a.gguf")
            #expect(model.configuration.layout == "llama" && model.configuration.backbone.hasQueryKeyValueBias)
            for role in [Role.backbone(0, .query), .backbone(1, .key, .bias)] {
                let (read, original) = (try #require(try model.weight(role)), try #require(try source.weight(role)))
                var a = [Float](repeating: 0, count: read.shape.count)
                var b = a
                read.dequantize(elements: 0..<a.count, into: &a)
                original.dequantize(elements: 0..<b.count, into: &b)
                #expect(a == b)
            }
        }
    }

    @Test func rowsThatAreNoWholeBlocksAreReported() throws {
        try withFolder { folder in
            let model = try CheckpointModel.open("\(Self.fixtures)/gguf/llama")
            let report = try GGUFExport(model, options: .init(type: .q4K)).run(to: "\(folder)/a.gguf")
            #expect(report.warnings.contains("7 matrices whose rows are no whole blocks of Q4_K are written in Q5_0"))
            // The table is the head, too.
            #expect(report.warnings.contains("1 matrices whose rows are no whole blocks of Q6_K are written in Q8_0"))
            let file = try GGUFFile(path: "\(folder)/a.gguf")
            #expect(file.entry("blk.0.ffn_down.weight")?.encoding == "Q5_0")
            #expect(file.entry("token_embd.weight")?.encoding == "Q8_0")
        }
    }

    @Test func crayonPromptsAreRefusedUnlessLeftOut() throws {
        try withFolder { folder in
            let model = try CheckpointModel.open("\(Self.fixtures)/models/collavo-grouped")
            let error = #expect(throws: CrayonError.self) {
                try GGUFExport(model, options: .init(part: .vision)).run(to: "\(folder)/a.gguf")
            }
            #expect(error?.description.contains("a model that reads a crayon prompt") == true)
            #expect(try contents(of: folder).isEmpty)
            let options = GGUFExport.Options(part: .vision, type: .f32, leavesCrayonOut: true)
            let report = try GGUFExport(model, options: options).run(to: "\(folder)/a.gguf")
            #expect(report.warnings.contains { $0.contains("the crayon queries") })
            let file = try GGUFFile(path: "\(folder)/a.gguf")
            let vision = try #require(model.configuration.vision)
            #expect(file.metadata("general.architecture")?.string == "clip")
            #expect(file.entry("v.position_embd.weight")?.shape == Shape([vision.patchCount + 1, vision.width]))
            #expect(file.entry("v.blk.0.ffn_down.weight")?.shape == Shape([vision.intermediateSize, vision.width]))
            let projector = try #require(try model.weight(.projector(.image, 2, .weight)))
            var expected = [Float](repeating: 0, count: projector.shape.count)
            projector.dequantize(elements: 0..<expected.count, into: &expected)
            #expect(file.tensor("mm.2.weight")?.region.array == expected.withUnsafeBytes(Array.init))

            let text = try GGUFExport(model, options: .init(type: .f16)).run(to: "\(folder)/b.gguf")
            #expect(text.warnings.contains { $0.contains("set 'crayon', which acts at image positions and reads") })
            #expect(text.warnings.contains { $0.contains("beyond the vocabulary: 1 of") })
        }
    }
}

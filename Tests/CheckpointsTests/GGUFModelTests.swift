import Architecture
import Bytes
import Checkpoints
import Foundation
import JSON
import Quantization
import Tensors
import Testing
import Tokenization

/// Decoders in GGUF files that llama.cpp's converter wrote, beside the checkpoints that it had; see
/// `Scripts/reference/gguf_fixture.py`.
@Suite struct GGUFModelTests {
    static let root: String = {
        let parts = #filePath.split(separator: "/").dropLast(2)
        return "/" + parts.joined(separator: "/")
    }()
    static let folder = root + "/Fixtures/gguf"

    static func tokenizer() throws -> ByteRegion {
        try MappedFile(path: root + "/TokenizationTests/Fixtures/plain.model").whole
    }

    /// Q8_0 belongs to a row, so the source's rows quantized are the file's rows in the source's order.
    @Test(arguments: ["llama", "internlm2"]) func weightsAreTheCheckpoints(family: String) throws {
        let source = try CheckpointModel.open("\(Self.folder)/\(family)")
        let model = try CheckpointModel.open("\(Self.folder)/\(family)-q8_0.gguf")
        #expect(model.configuration.layout == family)
        #expect(model.configuration.backbone == source.configuration.backbone)
        #expect(model.configuration.tokens.begin == 1 && model.configuration.tokens.end == [2])
        #expect(model.bindings.map(\.role) == source.bindings.map(\.role))
        #expect(model.bindings.map(\.sourceName) == source.bindings.map(\.sourceName))
        #expect(model.unused.isEmpty && model.warnings.isEmpty)
        for (read, original) in zip(model.bindings, source.bindings) {
            let tensor = try read.tensor()
            #expect(tensor.type == .f32 && tensor.shape == original.shape)
            let expected = read.isMatrix ? try GGMLQuantizer(.q80).quantize(original.tensor()).dense() : nil
            #expect(read.entry.encoding == (read.isMatrix ? "Q8_0" : "F32"))
            if let expected { #expect(tensor.region.array == expected.region.array, "\(read.role)") }
        }
    }

    @Test func vectorsAreTheCheckpoints() throws {
        let source = try CheckpointModel.open("\(Self.folder)/llama")
        let model = try CheckpointModel.open("\(Self.folder)/llama-q8_0.gguf")
        for role in [Role.finalNorm, .attentionNorm(0), .mlpNorm(0)] {
            let read = try #require(try model.weight(role))
            let original = try #require(try source.weight(role))
            let count = read.shape.count
            var (a, b) = ([Float](repeating: 0, count: count), [Float](repeating: 0, count: count))
            read.dequantize(elements: 0..<count, into: &a)
            original.dequantize(elements: 0..<count, into: &b)
            #expect(a == b)
        }
    }

    /// The tokenizer that is made of the metadata gives the original's ids.
    @Test(arguments: ["llama", "internlm2"]) func tokenizersAreTheOriginal(family: String) throws {
        let model = try CheckpointModel.open("\(Self.folder)/\(family)-q8_0.gguf")
        let made = try SentencePieceTokenizer(model: #require(model.file("tokenizer.model")).region)
        let original = try SentencePieceTokenizer(model: Self.tokenizer())
        #expect(made.bosID == original.bosID && made.eosID == original.eosID && made.unknownID == original.unknownID)
        for text in ["Hello, world", "  two  spaces ", "Straße 日本語 🐎\n\t\u{7}", "<s> </s>", ""] {
            let ids = try original.encode(text, splittingAddedTokens: false)
            #expect(try made.encode(text, splittingAddedTokens: false) == ids, "\(text)")
            #expect(
                try made.decode(ids, skippingAddedTokens: false) == original.decode(ids, skippingAddedTokens: false))
        }
    }

    @Test func addedTokensAndTemplateAreKept() throws {
        let model = try CheckpointModel.open("\(Self.folder)/llama-q8_0.gguf")
        let config = try #require(model.file("tokenizer_config.json"))
        let reader = try JSONReader(JSONValue.parse(config.region.buffer, name: "made"), place: "made")
        #expect(try reader.string("chat_template") == "{{ x }}")
        #expect(try reader.bool("add_bos_token"))
        let files = try TokenizerFiles(place: "made") { (name) throws(CrayonError) in model.file(name)?.region }
        #expect(files.addedTokens.map(\.text) == ["</s>", "<marker>", "<|end|>"])
        #expect(files.addedTokens.map(\.id) == [2, 1000, 1001])
        let tokenizer = try files.makeTokenizer()
        let ids = try tokenizer.encode("a<marker>b")
        #expect(ids.contains(1000))
    }

    /// What would make the model compute otherwise is refused, with the key.
    @Test func settingsThatAreNotRunAreRefused() throws {
        let folder = TemporaryFolder()
        let cases: [(String, GGUFWriter.Value, String)] = [
            ("general.architecture", .string("mamba"), "key 'general.architecture': 'mamba'"),
            ("general.type", .string("adapter"), "key 'general.type': 'adapter'"),
            ("split.count", .uint32(3), "key 'split.no': nothing"),
            ("llama.expert_count", .uint32(8), "a mixture of experts"),
            ("llama.rope.scaling.type", .string("yarn"), "key 'llama.rope.scaling.type': 'yarn'"),
            ("llama.rope.dimension_count", .uint32(4), "key 'llama.rope.dimension_count': 4"),
            ("llama.attention.head_count", .uint32(0), "key 'llama.attention.head_count': 0"),
            ("llama.attention.head_count_kv", .uint32(3), "a divisor of 4"),
            ("llama.attention.head_count", .uint32(8), "tensor 'blk.0.attn_k.weight': shape [16, 32]; expected 8 rows"),
            ("llama.embedding_length", .string("x"), "key 'llama.embedding_length': a text"),
            ("llama.block_count", .uint32(2), "num_hidden_layers"),
            ("tokenizer.ggml.scores", .float32s([1]), "1 scores"),
        ]
        for (key, value, text) in cases {
            let error = #expect(throws: CrayonError.self, "\(key)") {
                try CheckpointModel.open(Self.file(in: folder, replacing: key, with: value))
            }
            #expect(error?.description.contains(text) == true, "\(key): \(error?.description ?? "")")
        }
        #expect(
            try CheckpointModel.open(Self.file(in: folder, replacing: "general.type", with: .string("model"))).bindings
                .count == 12)
    }

    @Test func otherVocabulariesAreReported() throws {
        let folder = TemporaryFolder()
        for (kind, text) in [("bert", "a vocabulary of kind 'bert'"), ("gpt2", "cut by the rule 'default'")] {
            let model = try CheckpointModel.open(
                Self.file(in: folder, replacing: "tokenizer.ggml.model", with: .string(kind)))
            #expect(model.file("tokenizer.model") == nil && model.file("tokenizer.json") == nil)
            #expect(model.warnings.contains { $0.contains(text) })
        }
    }

    /// A small Llama of zeros, with one value of its metadata replaced, and one more vector in front.
    static func file(
        in folder: TemporaryFolder, replacing key: String, with value: GGUFWriter.Value,
        vector: (name: String, type: GGMLType, values: [Float])? = nil
    ) throws -> String {
        var metadata: [(name: String, value: GGUFWriter.Value)] = [
            ("general.architecture", .string("llama")), ("llama.block_count", .uint32(1)),
            ("llama.embedding_length", .uint32(32)), ("llama.feed_forward_length", .uint32(8)),
            ("llama.attention.head_count", .uint32(4)), ("llama.attention.head_count_kv", .uint32(2)),
            ("llama.attention.layer_norm_rms_epsilon", .float32(1e-5)), ("tokenizer.ggml.model", .string("llama")),
            ("tokenizer.ggml.tokens", .strings([Array("<unk>".utf8), Array("a".utf8)])),
            ("tokenizer.ggml.scores", .float32s([0, 0])), ("tokenizer.ggml.token_type", .int32s([2, 1])),
        ]
        metadata.removeAll { $0.name == key }
        metadata.append((key, value))
        let shapes: [(String, [Int])] = [
            ("token_embd.weight", [2, 32]), ("output_norm.weight", [32]), ("output.weight", [2, 32]),
            ("blk.0.attn_norm.weight", [32]), ("blk.0.ffn_norm.weight", [32]), ("blk.0.attn_q.weight", [32, 32]),
            ("blk.0.attn_k.weight", [16, 32]), ("blk.0.attn_v.weight", [16, 32]),
            ("blk.0.attn_output.weight", [32, 32]),
            ("blk.0.ffn_gate.weight", [8, 32]), ("blk.0.ffn_up.weight", [8, 32]), ("blk.0.ffn_down.weight", [32, 8]),
        ]
        var tensors = shapes.map { GGUFWriter.Declaration(name: $0.0, type: .f32, shape: Shape($0.1)) }
        if let vector {
            tensors.insert(
                GGUFWriter.Declaration(name: vector.name, type: vector.type, shape: Shape([vector.values.count])), at: 0
            )
        }
        let path = folder.file("\(UUID().uuidString).gguf")
        let writer = try GGUFWriter(path: path, metadata: metadata, tensors: tensors)
        for tensor in tensors {
            var bytes = [UInt8](repeating: 0, count: tensor.byteCount)
            if tensor.name == vector?.name, tensor.type == .f32 {
                bytes = (vector?.values ?? []).withUnsafeBytes(Array.init)
            }
            try bytes.withUnsafeBytes { try writer.write($0, of: tensor.name) }
        }
        try writer.commit()
        return path
    }
}

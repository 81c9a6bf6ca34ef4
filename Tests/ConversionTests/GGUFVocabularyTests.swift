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
import Tokenization

/// Byte-level vocabularies in GGUF: written of a tokenizer.json, and read as one.
@Suite struct GGUFVocabularyTests {
    static let tokenizers: String = {
        let parts = #filePath.split(separator: "/").dropLast(2)
        return "/" + parts.joined(separator: "/") + "/TokenizationTests/Fixtures/bytelevel"
    }()

    struct Recorded: Decodable {
        struct Case: Decodable {
            var text: String
            var ids: [Int32]
        }
        struct Cases: Decodable { var cases: [Case] }
        var tokenizers: [String: Cases]
    }

    /// A small Llama of 1008 tokens with another tokenizer.
    private func checkpoint(in folder: String, _ tokenizer: String, config: String? = nil) throws -> CheckpointModel {
        let path = "\(folder)/model"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        let source = "\(GGUFExportTests.fixtures)/gguf/llama"
        try FileManager.default.copyItem(
            atPath: "\(source)/model.safetensors", toPath: "\(path)/model.safetensors")
        // 1 and 2, which begin and end a text there, are letters here.
        var settings = try String(contentsOfFile: "\(source)/config.json", encoding: .utf8)
        for key in ["bos_token_id", "eos_token_id"] {
            settings = settings.replacing(try Regex("\"\(key)\": [0-9]+"), with: "\"\(key)\": 1007")
        }
        try AtomicFile.write(Array(settings.utf8), to: "\(path)/config.json")
        try AtomicFile.write(Array(tokenizer.utf8), to: "\(path)/tokenizer.json")
        if let config { try AtomicFile.write(Array(config.utf8), to: "\(path)/tokenizer_config.json") }
        return try CheckpointModel.open(path)
    }

    /// By bytes: a mark behind a token does not hide it.
    private static func has(_ text: String, _ tokens: some Sequence<String>) -> Bool {
        let bytes = Data(text.utf8)
        return tokens.contains { bytes.range(of: Data($0.utf8)) != nil }
    }

    private func text(_ name: String) throws -> String {
        try String(contentsOfFile: "\(Self.tokenizers)/\(name).json", encoding: .utf8)
    }

    private func tokenizer(of model: CheckpointModel) throws -> any Tokenizer {
        try TokenizerFiles(place: "made") { (name) throws(CrayonError) in model.file(name)?.region }.makeTokenizer()
    }

    @Test(arguments: [("gpt2", "gpt-2"), ("llama3", "llama-bpe"), ("qwen2", "qwen2")])
    func idsComeBack(name: String, pre: String) throws {
        try withFolder { folder in
            let source = try checkpoint(
                in: folder, text(name), config: #"{"chat_template": "{{ x }}", "eos_token": "<|end|>"}"#)
            let bundle = "\(folder)/a.crayon"
            try convert(source, to: bundle)
            let report = try GGUFExport(BundleReader(path: bundle), options: .init(type: .f16)).run(
                to: "\(folder)/a.gguf")
            let file = try GGUFFile(path: "\(folder)/a.gguf")
            #expect(file.metadata("tokenizer.ggml.model")?.string == "gpt2")
            #expect(file.metadata("tokenizer.ggml.pre")?.string == pre)
            #expect(file.metadata("tokenizer.ggml.tokens")?.array?.count == 1008)
            #expect(file.metadata("tokenizer.chat_template")?.string == "{{ x }}")
            #expect(file.metadata("tokenizer.ggml.add_bos_token")?.bool == (name == "llama3"))
            #expect(report.warnings.contains { $0.contains("NFC") } == (name == "qwen2"))
            #expect(report.warnings.contains { $0.contains("need not stand alone") } == (name != "gpt2"))

            let model = try CheckpointModel.open("\(folder)/a.gguf")
            #expect(model.warnings.isEmpty, "\(model.warnings)")
            #expect(model.configuration.tokens.begin == source.configuration.tokens.begin)
            let (made, original) = (try tokenizer(of: model), try tokenizer(of: source))
            #expect(made.id(of: "<|end|>") == original.id(of: "<|end|>"))
            let recorded = try JSONDecoder().decode(
                Recorded.self, from: Data(contentsOf: URL(fileURLWithPath: "\(Self.tokenizers)/cases.json")))
            let added = source.configuration.tokens.added.keys
            var compared = 0
            for sample in try #require(recorded.tokenizers[name]).cases {
                // What GGUF does not say: which spaces added tokens take with them, and normalisation.
                guard !Self.has(sample.text, added),
                    sample.text.precomposedStringWithCanonicalMapping.utf8.elementsEqual(sample.text.utf8)
                else { continue }
                #expect(try made.encode(sample.text) == sample.ids, "\(sample.text.debugDescription)")
                #expect(try made.decode(sample.ids).utf8.elementsEqual(original.decode(sample.ids).utf8))
                compared += 1
            }
            #expect(compared > 100)
        }
    }

    /// A SentencePiece model in a tokenizer.json is the model again: scores in the order of the merges give the same ids.
    @Test func charactersAreASentencePieceModel() throws {
        try withFolder { folder in
            let spaced = Self.tokenizers.replacing("bytelevel", with: "spaced")
            let text = try String(contentsOfFile: "\(spaced)/llava.json", encoding: .utf8)
            let source = try checkpoint(in: folder, text)
            let report = try GGUFExport(source, options: .init(type: .f16)).run(to: "\(folder)/a.gguf")
            #expect(report.warnings.isEmpty, "\(report.warnings)")
            let file = try GGUFFile(path: "\(folder)/a.gguf")
            #expect(file.metadata("tokenizer.ggml.model")?.string == "llama")
            #expect(file.metadata("tokenizer.ggml.add_space_prefix")?.bool == true)
            let kinds = try #require(file.metadata("tokenizer.ggml.token_type")?.array?.integers)
            // <unk>, <s>, </s>, the first byte, a piece, <image>, <mask>
            let ids = try ["<image>", "<mask>"].map { Int(try #require(try tokenizer(of: source).id(of: $0))) }
            #expect(([1, 2, 3, 500] + ids).map { kinds[$0] } == [3, 3, 6, 1, 3, 4])
            let made = try tokenizer(of: CheckpointModel.open("\(folder)/a.gguf"))
            let original = try tokenizer(of: source)
            let recorded = try JSONDecoder().decode(
                [String: Recorded.Cases].self, from: Data(contentsOf: URL(fileURLWithPath: "\(spaced)/cases.json")))
            var compared = 0
            let added = source.configuration.tokens.added.keys
            for sample in try #require(recorded["llava"]).cases
            where !Self.has(sample.text, added) {
                #expect(try made.encode(sample.text) == original.encode(sample.text), "\(sample.text.debugDescription)")
                compared += 1
            }
            #expect(compared > 150)
        }
    }

    /// Words that are entries but are merged all the same have another name in llama.cpp.
    @Test func mergesThatAreNotIgnored() throws {
        try withFolder { folder in
            let text = try text("llama3").replacingOccurrences(
                of: #""ignore_merges":true"#, with: #""ignore_merges":false"#)
            _ = try GGUFExport(checkpoint(in: folder, text)).run(to: "\(folder)/a.gguf")
            let file = try GGUFFile(path: "\(folder)/a.gguf")
            #expect(file.metadata("tokenizer.ggml.pre")?.string == "dbrx")
            let made = try #require(try CheckpointModel.open("\(folder)/a.gguf").file("tokenizer.json"))
            let json = try JSONReader(JSONValue.parse(made.region.buffer, name: "made"), place: "made")
            #expect(try json.object("model").bool("ignore_merges") == false)
        }
    }

    @Test func wordsThatAreCutTwiceOrNotAreRefused() throws {
        let gpt2 = try text("gpt2")
        let pattern = #"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"#
        for (old, new, found) in [
            (#""use_regex": true"#, #""use_regex": false"#, "words that are not cut"),
            (
                #""pre_tokenizer": {"#,
                #""pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\#(pattern)"}, "#
                    + #""behavior": "Isolated"}, {"type": "ByteLevel", "add_prefix_space": false}]}, "#
                    + #""former": {"#, "words that are cut twice"
            ),
        ] {
            try withFolder { folder in
                let changed = gpt2.replacingOccurrences(of: old, with: new)
                #expect(changed != gpt2)
                let error = #expect(throws: CrayonError.self) {
                    try GGUFExport(checkpoint(in: folder, changed)).run(to: "\(folder)/a.gguf")
                }
                #expect(error?.description.contains(found) == true, "\(error?.description ?? "")")
                #expect(!FileManager.default.fileExists(atPath: "\(folder)/a.gguf"))
            }
        }
    }

    /// Another rule's vocabulary is read without a tokenizer, which is said; broken lists are errors.
    @Test func otherRulesAreReported() throws {
        try withFolder { folder in
            func write(_ name: String, _ vocabulary: [(name: String, value: GGUFWriter.Value)]) throws -> String {
                let path = "\(folder)/\(name).gguf"
                let source = try GGUFFile(path: "\(GGUFExportTests.fixtures)/gguf/llama-q8_0.gguf")
                var metadata: [(name: String, value: GGUFWriter.Value)] = []
                for (key, value) in source.metadata where key.hasPrefix("llama.") || key == "general.architecture" {
                    if let text = value.string {
                        metadata.append((key, .string(text)))
                    } else if let number = value.integer {
                        metadata.append((key, .uint32(UInt32(number))))
                    } else if let number = value.number {
                        metadata.append((key, .float32(Float(number))))
                    }
                }
                let stored = source.names.compactMap { source.stored($0) }
                let writer = try GGUFWriter(
                    path: path, metadata: metadata + [("tokenizer.ggml.model", .string("gpt2"))] + vocabulary,
                    tensors: stored.map { .init(name: $0.name, type: $0.type, shape: $0.shape) })
                for tensor in stored { try writer.write(tensor.region.buffer, of: tensor.name) }
                try writer.commit()
                return path
            }
            let tokens = GGUFWriter.Value.strings(["a", "b", "ab", "", "a", "<|x|>"].map { Array($0.utf8) })
            let kinds = GGUFWriter.Value.int32s([1, 1, 1, 1, 1, 3])
            let merges = GGUFWriter.Value.strings(["a b", "b a", "a"].map { Array($0.utf8) })
            let other = try CheckpointModel.open(
                write("other", [("tokenizer.ggml.pre", .string("deepseek-llm")), ("tokenizer.ggml.tokens", tokens)]))
            #expect(other.file("tokenizer.json") == nil)
            #expect(other.warnings.contains { $0.contains("cut by the rule 'deepseek-llm'") })
            let rest: [(name: String, value: GGUFWriter.Value)] = [
                ("tokenizer.ggml.pre", .string("qwen2")), ("tokenizer.ggml.token_type", kinds),
                ("tokenizer.ggml.merges", merges),
            ]
            let read = try CheckpointModel.open(write("read", rest + [("tokenizer.ggml.tokens", tokens)]))
            #expect(read.warnings.contains { $0.contains("2 tokens whose text is empty, broken, too long or") })
            #expect(read.warnings.contains { $0.contains("2 merges that make no token") })
            let made = try tokenizer(of: read)
            #expect(try made.encode("abba<|x|>") == [2, 1, 0, 5])
            for (vocabulary, text) in [
                (rest, "tokenizer.ggml.tokens"),
                (Array(rest.dropLast()) + [("tokenizer.ggml.tokens", tokens)], "tokenizer.ggml.merges"),
                (rest + [("tokenizer.ggml.tokens", .strings([[97]]))], "1 tokens, 6 types"),
            ] {
                let error = #expect(throws: CrayonError.self) { try CheckpointModel.open(write("broken", vocabulary)) }
                #expect(error?.description.contains(text) == true, "\(error?.description ?? "")")
            }
        }
    }
}

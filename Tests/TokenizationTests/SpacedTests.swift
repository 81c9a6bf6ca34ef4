import Bytes
import Foundation
import Testing
import Tokenization

/// SentencePiece models in the form of tokenizer.json, beside what Scripts/reference/spaced_fixture.py recorded of the Python package.
@Suite struct SpacedTests {
    static let names = ["llama", "early", "llava", "first", "always-cut", "never", "partial", "fused", "dropping"]
    static let folder = TokenizerFixture.folder + "/spaced"

    static func recorded(_ name: String) throws -> BytePairFixture.Recorded {
        let url = URL(fileURLWithPath: folder).appendingPathComponent("cases.json")
        let all = try JSONDecoder().decode([String: BytePairFixture.Recorded].self, from: Data(contentsOf: url))
        return try #require(all[name])
    }

    static func text(_ name: String) throws -> String {
        try String(contentsOfFile: "\(folder)/\(name).json", encoding: .utf8)
    }

    @Test(arguments: names) func idsAndTextsAreThePythonPackages(name: String) throws {
        let fixture = try Self.recorded(name)
        let text = try Self.text(name)
        let tokenizer = try BytePairFixture.tokenizer(text)
        #expect(fixture.cases.count > 400 && fixture.runs.count > 200)
        for sample in fixture.cases {
            let ids = try tokenizer.encode(sample.text)
            #expect(ids == sample.ids, "\(sample.text.debugDescription)")
            #expect(bytes(try tokenizer.decode(sample.ids)) == bytes(sample.decoded), "\(sample.ids)")
        }
        for run in fixture.runs {
            #expect(bytes(try tokenizer.decode(run.ids)) == bytes(run.decoded), "\(run.ids)")
            #expect(bytes(try tokenizer.decode(run.ids, skippingAddedTokens: true)) == bytes(run.skipped), "\(run.ids)")
        }
        let json = try TokenizerJSON(ByteRegion(copying: Array(text.utf8)), place: name)
        #expect(json.isBytePair && !json.isByteLevel)
        #expect(try json.begin() == fixture.begin)
    }

    /// The pieces of a stream are never taken back: each joins to the beginning of the whole.
    @Test(arguments: names) func streamedTextsAreTheWhole(name: String) throws {
        let tokenizer = try BytePairFixture.tokenizer(Self.text(name))
        for run in try Self.recorded(name).runs {
            for skips in [false, true] {
                var decoder = StreamingDecoder(tokenizer, skippingAddedTokens: skips)
                let text = run.ids.map { decoder.append($0) }.joined() + decoder.finish()
                #expect(bytes(text) == bytes(skips ? run.skipped : run.decoded), "\(run.ids)")
            }
        }
    }

    /// Without added tokens a text cannot forge them, and gets the ids of the model that the file was made of.
    @Test func idsAreTheModels() throws {
        let tokenizer = try BytePairFixture.tokenizer(Self.text("llama"))
        let model = try SentencePieceTokenizer(path: TokenizerFixture.folder + "/plain.model")
        for sample in try Self.recorded("llama").cases {
            let ids = try tokenizer.encode(sample.text, splittingAddedTokens: false)
            let expected = try model.encode(sample.text, splittingAddedTokens: false)
            #expect(ids == expected, "\(sample.text.debugDescription)")
        }
        #expect(tokenizer.unknownID == 0 && tokenizer.id(of: "<s>") == 1 && tokenizer.leadingSpaces == .oneDropped)
    }

    @Test func longTextsTakeLinearTime() throws {
        let count = 200_000
        for name in ["llama", "always-cut"] {
            let tokenizer = try BytePairFixture.tokenizer(Self.text(name))
            for unit in ["a", "ab", " ", "\n", "é", "日", "\u{2581}", "<", "<s>", "the "] {
                let text = String(repeating: unit, count: count / unit.utf8.count)
                let time = try ContinuousClock().measure { _ = try tokenizer.encode(text) }
                #expect(time < .seconds(10), "\(unit)")
            }
        }
    }
}

@Suite struct HostileSpacedTests {
    /// One thing of a good file changed for another.
    @Test(arguments: [
        ("llama", #""type":"Prepend""#, #""type":"Lowercase""#, "Lowercase"),
        ("llama", #""pattern":{"String":" "}"#, #""pattern":{"Regex":" "}"#, "normalizer.pattern"),
        ("llama", #""pattern":{"String":" "}"#, #""pattern":{"String":""}"#, "normalizer.pattern"),
        ("llama", #""pre_tokenizer":null"#, #""pre_tokenizer":{"type":"Whitespace"}"#, "Whitespace"),
        ("first", #""prepend_scheme": "first""#, #""prepend_scheme": "second""#, "second"),
        ("first", #""type": "Metaspace", "replacement": "▁""#, #""type": "Metaspace", "replacement": "__""#, "'__'"),
        ("llama", #"{"type":"Fuse"}"#, #"{"type":"Metaspace"}"#, "Replace, ByteFallback, Metaspace, Strip"),
        ("llama", #""start":1,"stop":0"#, #""start":2,"stop":0"#, "2 at the start"),
        ("llama", #""start":1,"stop":0"#, #""start":1,"stop":1"#, "1 at the end"),
        ("llama", #""pattern":{"String":"▁"},"content":" ""#, #""pattern":{"String":"▁"},"content":"_""#, "'_'"),
        ("llama", #""type":"BPE""#, #""type":"Unigram""#, "tokenizer.model"),
        ("llama", #""dropout":null"#, #""dropout":0.5"#, "dropout"),
        ("llama", #""end_of_word_suffix":null"#, #""end_of_word_suffix":"</w>""#, "end_of_word_suffix"),
        ("llama", #""unk_token":"<unk>""#, #""unk_token":"<none>""#, "<none>"),
        ("llama", #""merges":["#, #""merges":[["a"],"#, "merges[0]"),
        ("llama", #""vocab":{"#, #""vocab":{"zzzz":1,"#, "id 1"),
        ("llama", #""added_tokens":["#, #""added_tokens":[{"id":5,"content":"<x>"},"#, "<x>"),
    ])
    func whatIsNotSupportedIsNamed(name: String, old: String, new: String, named: String) throws {
        let good = try SpacedTests.text(name)
        let range = try #require(good.range(of: old), "\(old)")
        let error = #expect(throws: CrayonError.self) {
            try BytePairFixture.tokenizer(good.replacingCharacters(in: range, with: new))
        }
        #expect(error?.description.contains(named) == true, "\(String(describing: error))")
        #expect(error?.place.contains("tokenizer.json") == true)
    }
}

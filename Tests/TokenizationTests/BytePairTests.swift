import Bytes
import Foundation
import Testing
import Tokenization

/// What Scripts/reference/byte_level_fixture.py recorded of the Python package.
struct BytePairFixture: Decodable {
    struct Case: Decodable {
        var text: String
        var ids: [Int32]
        var decoded: String
    }
    struct Run: Decodable {
        var ids: [Int32]
        var decoded: String
        var skipped: String
    }
    struct Recorded: Decodable {
        var begin: Int32?
        var cases: [Case]
        var runs: [Run]
    }
    var letters: [[UInt32]]
    var numbers: [[UInt32]]
    var spaces: [[UInt32]]
    var tokenizers: [String: Recorded]

    static let folder = TokenizerFixture.folder + "/bytelevel"

    static func load() throws -> BytePairFixture {
        let url = URL(fileURLWithPath: folder).appendingPathComponent("cases.json")
        return try JSONDecoder().decode(BytePairFixture.self, from: Data(contentsOf: url))
    }

    static func text(_ name: String) throws -> String {
        try String(contentsOfFile: "\(folder)/\(name).json", encoding: .utf8)
    }

    /// The tokenizer of a file, with other files beside it.
    static func tokenizer(_ text: String, beside files: [String: String] = [:]) throws -> any Tokenizer {
        let all = files.merging(["tokenizer.json": text]) { $1 }
        return try TokenizerFiles(place: "made") { name in all[name].map { ByteRegion(copying: Array($0.utf8)) } }
            .makeTokenizer()
    }
}

@Suite struct BytePairTests {
    static let names = ["gpt2", "gpt2-prefix", "llama3", "qwen2", "unknown", "unknown-single", "dropping"]

    @Test(arguments: names) func idsAndTextsAreThePythonPackages(name: String) throws {
        let fixture = try #require(BytePairFixture.load().tokenizers[name])
        let text = try BytePairFixture.text(name)
        let tokenizer = try BytePairFixture.tokenizer(text)
        #expect(fixture.cases.count > 300)
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
        #expect(json.isByteLevel)
        #expect(try json.begin() == fixture.begin)
    }

    /// Piece by piece, with characters cut anywhere.
    @Test(arguments: names) func streamedTextsAreTheWhole(name: String) throws {
        let fixture = try #require(BytePairFixture.load().tokenizers[name])
        let tokenizer = try BytePairFixture.tokenizer(BytePairFixture.text(name))
        for run in fixture.runs {
            for skips in [false, true] {
                var decoder = StreamingDecoder(tokenizer, skippingAddedTokens: skips)
                let text = run.ids.map { decoder.append($0) }.joined() + decoder.finish()
                #expect(bytes(text) == bytes(skips ? run.skipped : run.decoded), "\(run.ids)")
            }
        }
    }

    /// Every character of Unicode is the letter, number or space that it is to the package's regular expressions.
    @Test func charactersAreOfTheSameKinds() throws {
        let fixture = try BytePairFixture.load()
        var expected = [CharacterKind](repeating: .other, count: 0x110000)
        let lists: [([[UInt32]], CharacterKind)] = [
            (fixture.letters, .letter), (fixture.numbers, .number), (fixture.spaces, .space),
        ]
        for (ranges, kind) in lists {
            for range in ranges { for code in range[0]...range[1] { expected[Int(code)] = kind } }
        }
        (expected[0x0a], expected[0x0d]) = (.newline, .newline)
        let wrong = (0..<0x110000 as Range<UInt32>).compactMap(Unicode.Scalar.init).filter {
            CharacterKind($0) != expected[Int($0.value)]
        }
        #expect(wrong.isEmpty, "\(wrong.count): \(wrong.prefix(20).map { String($0.value, radix: 16) })")
    }

    @Test func filesBesideIt() throws {
        let text = try BytePairFixture.text("qwen2")
        let config = """
            {"bos_token": null, "eos_token": "<|end|>", "added_tokens_decoder": {"700": {"content": "<new>", "special": true}}}
            """
        let tokenizer = try BytePairFixture.tokenizer(text, beside: ["tokenizer_config.json": config])
        let end = try #require(tokenizer.id(of: "<|end|>"))
        #expect(tokenizer.eosID == end)
        #expect(tokenizer.bosID == nil)
        #expect(try tokenizer.encode("<new><|end|>") == [700, end])
        #expect(tokenizer.piece(of: 700) == "<new>")
        #expect(tokenizer.vocabularySize == 701)
        #expect(!(try tokenizer.encode("<new><|end|>", splittingAddedTokens: false)).contains(end))
        #expect(throws: CrayonError.self) { try tokenizer.decode([699]) }
        #expect(throws: CrayonError.self) { try tokenizer.decode([-1]) }
    }
}

@Suite struct HostileTokenizerJSONTests {
    /// One thing of a good file changed for another.
    @Test(arguments: [
        (#""NFC""#, #""NFKC""#, "NFKC"),
        (#""type":"Split""#, #""type":"Punctuation""#, "Punctuation"),
        (#"\\p{N}|"#, #"\\p{N}{1,2}|"#, "expression"),
        (#""behavior":"Isolated""#, #""behavior":"MergedWithNext""#, "MergedWithNext"),
        (#""type":"BPE""#, #""type":"WordPiece""#, "WordPiece"),
        (#""dropout":null"#, #""dropout":0.1"#, "dropout"),
        (#""continuing_subword_prefix":null"#, #""continuing_subword_prefix":"@@""#, "continuing_subword_prefix"),
        (#""byte_fallback":false"#, #""byte_fallback":true"#, "byte_fallback"),
        (#""decoder":{"type":"ByteLevel""#, #""decoder":{"type":"WordPiece""#, "WordPiece"),
        (#""post_processor":{"type":"ByteLevel""#, #""post_processor":{"type":"BertProcessing""#, "BertProcessing"),
        (#""unk_token":null"#, #""unk_token":"<none>""#, "<none>"),
        (#""merges":["#, #""merges":["a b c","#, "merges[0]"),
        (#""merges":["#, #""merges":[["a"],"#, "merges[0]"),
        (#""merges":["#, #""merges":[["日","本"],"#, "merges[0]"),
        (#""merges":["#, #""merges":[7,"#, "merges[0]"),
        (#""vocab":{"#, #""vocab":{"zzzz":0,"#, "id 0"),
        (#""vocab":{"#, #""vocab":{"zzzz":-1,"#, "zzzz"),
        (#""vocab":{"#, #""vocab":{"zzzz":200000000,"#, "zzzz"),
        (#""vocab":{"#, #""vocab":{"zzzz":"1","#, "zzzz"),
        (#""added_tokens":["#, #""added_tokens":[{"id":3,"content":"<x>"},"#, "<x>"),
        (#""added_tokens":["#, #""added_tokens":[{"id":-3,"content":"<x>"},"#, "added_tokens[0]"),
        (#""added_tokens":["#, #""added_tokens":[{"id":900,"content":""},"#, "added_tokens[0]"),
    ])
    func whatIsNotSupportedIsNamed(old: String, new: String, named: String) throws {
        let good = try BytePairFixture.text("qwen2")
        let range = try #require(good.range(of: old), "\(old)")
        let error = #expect(throws: CrayonError.self) {
            try BytePairFixture.tokenizer(good.replacingCharacters(in: range, with: new))
        }
        #expect(error?.description.contains(named) == true, "\(String(describing: error))")
        #expect(error?.place.contains("tokenizer.json") == true)
    }

    @Test func longTextsTakeLinearTime() throws {
        let tokenizer = try BytePairFixture.tokenizer(BytePairFixture.text("qwen2"))
        let count = 200_000
        for unit in ["a", "ab", " ", "\n", " \n", "<", "'", "1", "é", "日", "a\u{301}", "<mas"] {
            let text = String(repeating: unit, count: count / unit.utf8.count)
            let clock = ContinuousClock()
            let time = try clock.measure { _ = try tokenizer.encode(text) }
            #expect(time < .seconds(10), "\(unit)")
        }
    }
}

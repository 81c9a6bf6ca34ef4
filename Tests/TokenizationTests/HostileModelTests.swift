import Bytes
import Foundation
import Testing
import Tokenization

/// A broken model throws or works; it never takes the process with it.
@Suite struct HostileModelTests {
    private static let text = "Is there a red circle? ｆｕｌｌ ｶﾀ ½ e\u{301} 😀 \u{3000}x"

    private func use(_ model: [UInt8]) throws {
        let tokenizer = try SentencePieceTokenizer(model: ByteRegion(copying: model))
        let ids = try tokenizer.encode(Self.text)
        _ = try tokenizer.decode(ids)
        var decoder = StreamingDecoder(tokenizer)
        for id in 0..<Int32(min(tokenizer.pieceCount, 300)) { _ = decoder.append(id) }
    }

    private func model(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(TokenizerFixture.folder)/\(name).model")))
    }

    @Test(arguments: ["plain", "folding"]) func truncated(name: String) throws {
        let whole = try model(name)
        try use(whole)
        for count in stride(from: 0, to: whole.count, by: 97) { try? use(Array(whole[..<count])) }
        #expect(throws: CrayonError.self) { try use([]) }
        #expect(throws: CrayonError.self) { try use(Array(whole[..<(whole.count / 2)])) }
    }

    @Test(arguments: ["plain", "folding"]) func flippedBytes(name: String) throws {
        let whole = try model(name)
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<300 {
            var broken = whole
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let index = Int.random(in: 0..<broken.count, using: &generator)
                broken[index] = UInt8.random(in: 0...255, using: &generator)
            }
            try? use(broken)
        }
    }

    /// Every unit of the normalisation trie, sent far outside it.
    @Test func triesThatPointOutside() throws {
        let whole = try model("folding")
        let start = try #require(Self.trieStart(whole))
        var refused = 0
        for unit in stride(from: start, to: start + 1024, by: 4) {
            var broken = whole
            // The highest offset there is, and no leaf's bit.
            broken[unit + 1] |= 0xfe
            broken[unit + 2] = 0xff
            broken[unit + 3] = 0x7f
            do { try use(broken) } catch { refused += 1 }
        }
        #expect(refused == 256)
    }

    /// Where the character map's units begin: after field 3 (normalizer_spec), field 2 (the map) and its length.
    private static func trieStart(_ model: [UInt8]) -> Int? {
        guard let name = model.firstRange(of: Array("user_defined".utf8)) else { return nil }
        // 0x12, a length of two or three bytes, then the trie's size as a UInt32.
        var position = name.upperBound + 1
        while model[position] & 0x80 != 0 { position += 1 }
        return position + 1 + 4
    }

    @Test func noModelAtAll() throws {
        #expect(throws: CrayonError.self) { try use(Array("{\"not\": \"a model\"}".utf8)) }
        #expect(throws: CrayonError.self) { try use(Array(repeating: 0xff, count: 1000)) }
        #expect(throws: CrayonError.self) { try SentencePieceTokenizer(path: "/nonexistent/tokenizer.model") }
    }
}

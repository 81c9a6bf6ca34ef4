import Testing
import Tokenization

@Suite struct StreamingDecoderTests {
    @Test(arguments: ["plain", "folding"]) func piecesJoinToTheWhole(name: String) throws {
        let fixture = try TokenizerFixture.load().model(name)
        let tokenizer = try TokenizerFixture.tokenizer(name)
        for ids in fixture.cases.map(\.ids) + fixture.runs.map(\.ids) {
            var decoder = StreamingDecoder(tokenizer)
            var text = ""
            for id in ids { text += decoder.append(id) }
            text += decoder.finish()
            #expect(bytes(text) == bytes(try tokenizer.decode(ids)), "\(ids)")
        }
    }

    @Test func randomIdsWithAddedTokens() throws {
        let token = AddedToken("<image>", id: 1000)
        let tokenizer = try TokenizerFixture.tokenizer("plain", added: [token])
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<500 {
            let ids = (0..<12).map { _ in
                Bool.random(using: &generator) ? Int32.random(in: 3...258) : Int32.random(in: 0...1000)
            }
            var decoder = StreamingDecoder(tokenizer)
            let text = ids.map { decoder.append($0) }.joined() + decoder.finish()
            #expect(bytes(text) == bytes(try tokenizer.decode(ids)), "\(ids)")
        }
    }

    /// A character is printed once it is whole, and what cannot become one is printed at once.
    @Test func holdsBackOnlyWhatMayStillBecomeACharacter() throws {
        let tokenizer = try TokenizerFixture.tokenizer("plain")
        func byte(_ value: UInt8) throws -> Int32 {
            let hex = String(value, radix: 16, uppercase: true)
            return try #require(tokenizer.id(of: "<0x\(hex.count == 1 ? "0" + hex : hex)>"))
        }
        var decoder = StreamingDecoder(tokenizer)
        #expect(decoder.append(try byte(0xf0)) == "")
        #expect(decoder.append(try byte(0x9f)) == "")
        #expect(decoder.append(try byte(0x98)) == "")
        #expect(decoder.append(try byte(0x80)) == "😀")
        #expect(decoder.append(try byte(0xff)) == "\u{fffd}")
        #expect(decoder.append(try byte(0xe2)) == "")
        #expect(decoder.append(try #require(tokenizer.id(of: "a"))) == "\u{fffd}a")
        #expect(decoder.append(try byte(0xc3)) == "")
        #expect(decoder.finish() == "\u{fffd}")
    }

    @Test func firstSpaceGoesUnlessContinuing() throws {
        let tokenizer = try TokenizerFixture.tokenizer("plain")
        let ids = try tokenizer.encode("Is there")
        var fresh = StreamingDecoder(tokenizer)
        #expect(ids.map { fresh.append($0) }.joined() == "Is there")
        var continuing = StreamingDecoder(tokenizer, continuing: true)
        #expect(ids.map { continuing.append($0) }.joined() == " Is there")
    }

    /// Only the space goes, not the character that it makes with a combining mark.
    @Test func theSpaceIsAByte() {
        var decoder = StreamingDecoder(OneToken(text: " \u{301}a"))
        #expect(bytes(decoder.append(0)) == bytes("\u{301}a"))
    }
}

/// A vocabulary of one text.
private struct OneToken: Tokenizer {
    var text: String
    var vocabularySize: Int { 1 }
    var bosID: Int32? { nil }
    var eosID: Int32? { nil }
    var unknownID: Int32? { nil }
    var leadingSpaces: LeadingSpaces { .oneDropped }
    func encode(_ text: String, splittingAddedTokens: Bool) -> [Int32] { [0] }
    func decode(_ ids: [Int32], skippingAddedTokens: Bool) -> String { text }
    func piece(of id: Int32) -> String? { text }
    func id(of piece: String) -> Int32? { nil }
    func fragment(of id: Int32) -> TokenFragment { .text(text) }
}

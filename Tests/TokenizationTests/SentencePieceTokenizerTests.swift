import Testing
import Tokenization

@Suite struct SentencePieceTokenizerTests {
    @Test(arguments: ["plain", "folding"]) func idsAndTextsAreThePythonPackages(name: String) throws {
        let fixture = try TokenizerFixture.load().model(name)
        let tokenizer = try TokenizerFixture.tokenizer(name)
        #expect(tokenizer.bosID == fixture.bos)
        #expect(tokenizer.eosID == fixture.eos)
        #expect(tokenizer.unknownID == fixture.unk)
        #expect(tokenizer.pieceCount == fixture.size)
        #expect(fixture.cases.count > 50)
        for sample in fixture.cases {
            #expect(try tokenizer.encode(sample.text) == sample.ids, "\(sample.text.debugDescription)")
            // By bytes: strings compare by canonical equivalence.
            #expect(bytes(try tokenizer.decode(sample.ids)) == bytes(sample.decoded), "\(sample.text.debugDescription)")
        }
        for run in fixture.runs {
            #expect(bytes(try tokenizer.decode(run.ids)) == bytes(run.decoded), "\(run.ids)")
        }
        for (index, piece) in fixture.pieces.enumerated() {
            #expect(tokenizer.piece(of: Int32(index * 13)) == piece)
            #expect(tokenizer.id(of: piece) == Int32(index * 13))
        }
        #expect(tokenizer.id(of: "no such piece") == nil)
        #expect(tokenizer.piece(of: -1) == nil)
        #expect(tokenizer.piece(of: Int32(fixture.size)) == nil)
        #expect(try tokenizer.encode("a", addingBOS: true) == [fixture.bos] + tokenizer.encode("a"))
    }

    /// Texts come back unchanged where the model does not normalise.
    @Test func plainTextsRoundTrip() throws {
        let tokenizer = try TokenizerFixture.tokenizer("plain")
        for sample in try TokenizerFixture.load().plain.cases where !sample.text.contains("\u{2581}") {
            #expect(bytes(try tokenizer.decode(tokenizer.encode(sample.text))) == bytes(sample.text))
        }
    }

    @Test func addedTokensSplitAsInTransformers() throws {
        let fixture = try TokenizerFixture.load().added
        let tokens = fixture.tokens.map { AddedToken($0.key, id: $0.value) }
        let legacy = try TokenizerFixture.tokenizer("plain", added: tokens)
        let modern = try TokenizerFixture.tokenizer("plain", added: tokens, dummyPrefix: .firstSegment)
        #expect(legacy.vocabularySize == legacy.pieceCount + tokens.count)
        for sample in fixture.cases {
            #expect(try legacy.encode(sample.text) == sample.ids, "\(sample.text.debugDescription)")
            #expect(try modern.encode(sample.text) == sample.firstSegmentIDs, "\(sample.text.debugDescription)")
            #expect(bytes(try legacy.decode(sample.ids)) == bytes(sample.text))
        }
        let forged = try legacy.encode("a <image> b", splittingAddedTokens: false)
        #expect(!forged.contains(try #require(fixture.tokens["<image>"])))
        let ids = try legacy.encode("a<image>b")
        #expect(try legacy.decode(ids, skippingAddedTokens: true) == "ab")
    }

    @Test func addedTokensMayAbsorbSpace() throws {
        let token = AddedToken("<x>", id: 2000, absorbsSpaceBefore: true, absorbsSpaceAfter: true)
        let tokenizer = try TokenizerFixture.tokenizer("plain", added: [token])
        let expected = try tokenizer.encode("a") + [2000] + tokenizer.encode("b")
        #expect(try tokenizer.encode("a \n<x>\t b") == expected)
        #expect(try tokenizer.encode("  <x>  ") == [2000])
    }

    @Test func clashesAndForeignIdsAreErrors() throws {
        #expect(throws: (any Error).self) {
            try TokenizerFixture.tokenizer("plain", added: [AddedToken("<a>", id: 1000), AddedToken("<b>", id: 1000)])
        }
        #expect(throws: (any Error).self) {
            try TokenizerFixture.tokenizer("plain", added: [AddedToken("<a>", id: 1000), AddedToken("<a>", id: 1001)])
        }
        #expect(throws: (any Error).self) {
            try TokenizerFixture.tokenizer("plain", added: [AddedToken("<a>", id: -1)])
        }
        let tokenizer = try TokenizerFixture.tokenizer("plain")
        #expect(throws: (any Error).self) { try tokenizer.decode([5, 1000]) }
        #expect(throws: (any Error).self) { try tokenizer.decode([-1]) }
    }
}

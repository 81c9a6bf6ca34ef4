import Foundation
import Testing
import Tokenization

/// What Scripts/reference/tokenizer_fixture.py recorded of the Python packages.
struct TokenizerFixture: Decodable {
    struct Case: Decodable {
        var text: String
        var ids: [Int32]
        var decoded: String
    }
    struct Run: Decodable {
        var ids: [Int32]
        var decoded: String
    }
    struct Model: Decodable {
        var bos: Int32
        var eos: Int32
        var unk: Int32
        var size: Int
        var pieces: [String]
        var cases: [Case]
        var runs: [Run]
    }
    struct AddedCase: Decodable {
        var text: String
        var ids: [Int32]
        var firstSegmentIDs: [Int32]
    }
    struct Added: Decodable {
        var tokens: [String: Int32]
        var cases: [AddedCase]
    }
    var plain: Model
    var folding: Model
    var added: Added

    static let folder = Bundle.module.bundleURL.appendingPathComponent("Fixtures").path

    static func load() throws -> TokenizerFixture {
        let url = URL(fileURLWithPath: folder).appendingPathComponent("tokenizer.json")
        return try JSONDecoder().decode(TokenizerFixture.self, from: Data(contentsOf: url))
    }

    func model(_ name: String) -> Model { name == "plain" ? plain : folding }

    static func tokenizer(
        _ name: String, added: [AddedToken] = [], dummyPrefix: SentencePieceTokenizer.DummyPrefix = .everySegment
    ) throws -> SentencePieceTokenizer {
        try SentencePieceTokenizer(path: "\(folder)/\(name).model", addedTokens: added, dummyPrefix: dummyPrefix)
    }
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

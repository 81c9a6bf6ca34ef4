import Bytes
import Foundation
import Testing
import Tokenization

@Suite struct TokenizerFilesTests {
    private func withFolder(_ files: [String: String], _ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("crayon-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.copyItem(
            atPath: "\(TokenizerFixture.folder)/plain.model", toPath: folder.path + "/tokenizer.model")
        for (name, text) in files {
            try text.write(toFile: folder.path + "/" + name, atomically: true, encoding: .utf8)
        }
        try body(folder.path)
    }

    @Test func theModelAlone() throws {
        try withFolder([:]) { folder in
            let files = try TokenizerFiles(directory: folder)
            #expect(files.addsBOS)
            #expect(files.dummyPrefix == .everySegment)
            #expect(files.addedTokens.isEmpty)
            let tokenizer = try files.makeTokenizer(adding: [AddedToken("<image>", id: 1000)])
            #expect(try tokenizer.encode("<image>") == [1000])
        }
    }

    @Test func allFiles() throws {
        let config = """
            {"add_bos_token": false, "legacy": false, "bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false},
             "added_tokens_decoder": {"1": {"content": "<s>"}, "1000": {"content": "<image>", "rstrip": true}}}
            """
        let added = #"{"<image>": 1000, "<stop>": 1001}"#
        let special = #"{"unk_token": "<unk>", "additional_special_tokens": ["<stop>"], "pad_token": "<none>"}"#
        let all = ["tokenizer_config.json": config, "added_tokens.json": added, "special_tokens_map.json": special]
        try withFolder(all) { folder in
            let files = try TokenizerFiles(directory: folder)
            #expect(!files.addsBOS)
            #expect(files.dummyPrefix == .firstSegment)
            #expect(files.specialTokens["eos_token"] == "</s>")
            let tokenizer = try files.makeTokenizer(adding: [AddedToken("<image>", id: 7)])
            // <image> keeps the checkpoint's id and absorbs the space after it; </s> in a text is the token.
            #expect(try tokenizer.encode("<image> <stop></s>") == [1000, 1001, 2])
            #expect(tokenizer.vocabularySize == 1002)
        }
    }

    @Test(arguments: [
        ["added_tokens.json": #"{"<a>": -1}"#],
        ["added_tokens.json": #"{"<a>": "1"}"#],
        ["added_tokens.json": #"{"": 1000}"#],
        ["added_tokens.json": #"[1, 2]"#],
        ["added_tokens.json": "{"],
        ["tokenizer_config.json": #"{"added_tokens_decoder": {"x": {"content": "<a>"}}}"#],
        ["tokenizer_config.json": #"{"added_tokens_decoder": {"1000": {}}}"#],
        ["tokenizer_config.json": #"{"added_tokens_decoder": {"99999999999": {"content": "<a>"}}}"#],
        [
            "tokenizer_config.json": #"{"added_tokens_decoder": {"1": {"content": "<a>"}}}"#,
            "added_tokens.json": #"{"<a>": 2}"#,
        ],
        ["tokenizer_config.json": #"{"add_bos_token": 3}"#],
    ])
    func brokenFilesAreNamed(files: [String: String]) throws {
        try withFolder(files) { folder in
            let error = #expect(throws: CrayonError.self) { try TokenizerFiles(directory: folder) }
            #expect(error?.place.hasPrefix(folder) == true)
        }
    }
}

import CrayonKit
import Foundation

struct JSONText: Parser {
    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        let value = try JSONValue.parse(bytes, name: "input")
        // What is written reads back as what it was.
        let text = ByteRegion(copying: Array(value.text(style: .compact).utf8))
        let again = try JSONValue.parse(text, name: "again")
        precondition(again == value)
    }
}

struct Plan: Parser {
    let file: InputFile
    init(_ file: InputFile) { self.file = file }

    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        file.write(bytes)
        _ = try TrainingPlan(file: file.path)
    }
}

private let someTexts = [
    "", "a", "the red circle", "  two  spaces ", "\u{1F600}é\u{0}", "</s><s>", String(repeating: "ab", count: 200),
]

/// A SentencePiece model, and what it makes of some texts.
struct SentencePiece: Parser {
    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        let tokenizer = try SentencePieceTokenizer(model: ByteRegion(copying: bytes))
        for text in someTexts { _ = try tokenizer.decode(tokenizer.encode(text)) }
    }
}

/// tokenizer.json alone: a byte-level vocabulary, and what it makes of some texts.
struct BytePair: Parser {
    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        let input = ByteRegion(copying: bytes)
        let files = try TokenizerFiles(place: "input") { (name) throws(CrayonError) in
            name == "tokenizer.json" ? input : nil
        }
        let tokenizer = try files.makeTokenizer()
        for text in someTexts { _ = try tokenizer.decode(tokenizer.encode(text)) }
    }
}

/// tokenizer_config.json beside a model.
struct TokenizerConfiguration: Parser {
    private let model: ByteRegion

    init() throws {
        model = ByteRegion(copying: try Repository.bytes("Scripts/sample/checkpoint/tokenizer.model"))
    }

    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        let input = ByteRegion(copying: bytes)
        let files = try TokenizerFiles(place: "input") { (name) throws(CrayonError) in
            switch name {
            case "tokenizer.model": model
            case "tokenizer_config.json": input
            default: nil
            }
        }
        let tokenizer = try files.makeTokenizer()
        for text in someTexts { _ = try tokenizer.decode(tokenizer.encode(text)) }
    }
}

struct ConversationRecords: Parser {
    let file: InputFile
    init(_ file: InputFile) { self.file = file }

    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        file.write(bytes)
        let images = try DataFolder("/")
        let records = try Conversations(path: file.path, images: images)
        for index in 0..<min(records.count, 50) { _ = try? records.example(index, epoch: 0) }
    }
}

struct Lines: Parser {
    let file: InputFile
    init(_ file: InputFile) { self.file = file }

    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        file.write(bytes)
        let lines = try TextLines(path: file.path)
        for index in 0..<min(lines.count, 50) { _ = try? lines.example(index, epoch: 0) }
    }
}

/// Annotations of COCO.
struct COCORecords: Parser {
    private let file: InputFile
    private let folder: String

    init(_ file: InputFile, folder: String) { (self.file, self.folder) = (file, folder) }

    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        file.write(bytes)
        let folder = try DataFolder(folder)
        let coco = try COCOPanoptic(COCOLayout(annotations: file.path, maps: folder, images: folder))
        precondition(coco.count > 0)
    }
}

import Architecture
import Bytes
import Checkpoints
import Datasets
import Foundation
import Images
import Inference
import Testing
import Tokenization

/// The scenes and the sample model that the repository carries.
enum Fixtures {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path
    static let scenes = "\(root)/Scripts/sample/scenes"
    static let checkpoint = "\(root)/Scripts/sample/checkpoint"

    static func coco() throws -> COCOPanoptic { try COCOPanoptic(COCOLayout(path: scenes)) }

    static func source() throws -> CheckpointModel { try CheckpointModel.open(CheckpointParts(checkpoint: checkpoint)) }

    static func encoder(maxLength: Int? = nil) throws -> ExampleEncoder {
        let source = try source()
        return ExampleEncoder(
            builder: PromptBuilder(
                template: source.configuration.prompt, tokens: source.configuration.tokens,
                tokenizer: try source.tokenizer()),
            configuration: source.configuration, maxLength: maxLength)
    }

    static func instructions(_ options: CrayonInstructions.Options = .init()) throws -> CrayonInstructions {
        let view = try #require(try CrayonView(source().configuration))
        return try CrayonInstructions(coco(), view: view, options: options)
    }
}

/// A folder that goes away.
func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "crayon-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try body(folder)
}

func write(_ text: String, to path: String) throws { try Data(text.utf8).write(to: URL(filePath: path)) }

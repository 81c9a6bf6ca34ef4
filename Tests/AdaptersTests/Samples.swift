import Bytes
import Foundation
import JSON
import Testing

/// `Formats/samples/adapters`: folders as peft writes them with what they hold, and refused ones with what the error says.
struct Samples {
    static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path
    static let root = repository + "/Formats/samples/adapters"
    /// What the refused ones lie over.
    static let base = repository + "/Formats/samples/peft/base"
    static let models = repository + "/Tests/Fixtures/models"

    let valid: [(name: String, holds: JSONReader)]
    let invalid: [(name: String, error: String)]

    init() throws {
        let expectations = try JSONReader(file: Self.root + "/expectations.json")
        let valid = try expectations.object("valid")
        let invalid = try expectations.object("invalid")
        self.valid = try valid.object.names.map { ($0, try valid.object($0)) }
        self.invalid = try invalid.object.names.map { ($0, try invalid.string($0)) }
    }

    static func path(valid name: String) -> String { "\(root)/valid/\(name)" }
    static func path(invalid name: String) -> String { "\(root)/invalid/\(name)" }
}

/// A folder that goes when the test is done.
final class TemporaryFolder {
    let path: String

    init() throws {
        path =
            FileManager.default.temporaryDirectory.appendingPathComponent("crayon-adapters-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }
}

/// The error that `body` throws; a failure if it throws none, or another.
func crayonError(sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void) -> CrayonError? {
    do {
        try body()
        Issue.record("nothing was thrown", sourceLocation: sourceLocation)
    } catch let error as CrayonError {
        return error
    } catch {
        Issue.record("\(error) is no CrayonError", sourceLocation: sourceLocation)
    }
    return nil
}

import Bytes
import Checkpoints
import JSON
import Testing

/// A corpus of `Formats/samples`: valid samples with what they hold, invalid ones with what the error says.
struct Samples {
    let root: String
    let valid: [(name: String, holds: JSONReader)]
    let invalid: [(name: String, error: String)]

    init(_ corpus: String) throws {
        let parts = #filePath.split(separator: "/").dropLast(3)
        root = "/" + parts.joined(separator: "/") + "/Formats/samples/\(corpus)"
        let expectations = try JSONReader(file: "\(root)/expectations.json")
        let valid = try expectations.object("valid")
        let invalid = try expectations.object("invalid")
        self.valid = try valid.object.names.map { ($0, try valid.object($0)) }
        self.invalid = try invalid.object.names.map { ($0, try invalid.string($0)) }
    }

    func path(valid name: String) -> String { "\(root)/valid/\(name)" }
    func path(invalid name: String) -> String { "\(root)/invalid/\(name)" }

    /// Opens every invalid sample; each must throw a `CrayonError` that names the file and says what is expected of it.
    func expectErrors(sourceLocation: SourceLocation = #_sourceLocation, _ open: (String) throws -> Void) {
        #expect(!invalid.isEmpty, sourceLocation: sourceLocation)
        for (name, text) in invalid {
            do {
                try open(path(invalid: name))
                Issue.record("\(name) was taken", sourceLocation: sourceLocation)
            } catch let error as CrayonError {
                #expect(error.description.contains(text), "\(name): \(error)", sourceLocation: sourceLocation)
                #expect(error.description.contains(name), "\(name): \(error)", sourceLocation: sourceLocation)
            } catch {
                Issue.record("\(name): \(error) is no CrayonError", sourceLocation: sourceLocation)
            }
        }
    }
}

import Bytes
import Foundation
import JSON
import Testing
import Training

/// `Formats/samples/plans`: each valid plan is in full what is expected, each invalid one is refused for the right reason.
@Suite struct PlanSampleTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Formats/samples/plans").path

    @Test func samples() throws {
        let expectations = try JSONReader(file: "\(Self.root)/expectations.json")
        let valid = try expectations.object("valid").object
        #expect(valid.count >= 6)
        for (name, full) in valid.members {
            let plan = try TrainingPlan(file: "\(Self.root)/valid/\(name).json")
            #expect(try TrainingPlan(JSONReader(full, place: name)) == plan, "\(name)")
            // Number for number, key for key; the texts of numbers may differ.
            guard case .object(let full) = full else { continue }
            #expect(plan.json.names == full.names, "\(name)")
        }
        let invalid = try expectations.object("invalid")
        #expect(invalid.object.count >= 20)
        for name in invalid.object.names {
            let says = try invalid.string(name)
            let path = "\(Self.root)/invalid/\(name).json"
            let error = #expect(throws: CrayonError.self) { try TrainingPlan(file: path) }
            #expect(error?.place == path)
            #expect(error?.description.contains(says) == true, "\(name): \(error?.description ?? "")")
        }
    }
}

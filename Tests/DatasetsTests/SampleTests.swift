import Bytes
import Datasets
import Foundation
import JSON
import Testing

/// A corpus of `Formats/samples`: valid samples with what they hold, invalid ones with what the error says.
struct Samples {
    let root: String
    let valid: [(name: String, holds: JSONValue)]
    let invalid: [(name: String, error: String)]

    init(_ corpus: String) throws {
        root = "\(Fixtures.root)/Formats/samples/\(corpus)"
        let expectations = try JSONReader(file: "\(root)/expectations.json")
        let invalid = try expectations.object("invalid")
        valid = try expectations.object("valid").object.members.map { ($0.name, $0.value) }
        self.invalid = try invalid.object.names.map { ($0, try invalid.string($0)) }
    }

    /// Every invalid sample is refused by an error that says what is expected of it.
    func expectErrors(_ open: (String) throws -> Void) {
        #expect(invalid.count > 8)
        for (name, text) in invalid {
            let error = #expect(throws: CrayonError.self) { try open("\(root)/invalid/\(name)") }
            #expect(error?.description.contains(text) == true, "\(name): \(String(describing: error))")
            #expect(error?.description.contains(name) == true, "\(name): \(String(describing: error))")
        }
    }
}

@Suite struct SampleTests {
    @Test func coco() throws {
        func open(_ path: String, split: COCOLayout.Split) throws -> CrayonInstructions {
            let coco = try COCOPanoptic(COCOLayout(path: path, split: split))
            let view = CrayonView(categories: coco.categories, side: 8)
            return try CrayonInstructions(coco, view: view, options: .init(weights: [.list: 1]))
        }
        let samples = try Samples("coco")
        #expect(samples.valid.count >= 6)
        for (name, holds) in samples.valid {
            let holds = try JSONReader(holds, place: name)
            let path = "\(samples.root)/valid/\(name)"
            let split = try #require(COCOLayout.Split(rawValue: holds.string("split")))
            let instructions = try open(path, split: split)
            #expect(try instructions.coco.categories.count == holds.int("categories"))
            let pictures = try holds.array("objects")
            #expect(instructions.count == pictures.count)
            for (index, picture) in pictures.enumerated() {
                guard case .array(let objects) = picture else { continue }
                let texts = objects.map { if case .string(let text) = $0 { text } else { "" } }
                let example = try instructions.example(index, epoch: 0)
                #expect(example.exchanges.first?.answer == "Sure, it is " + texts.joined(separator: ", "), "\(name)")
                #expect(FileManager.default.fileExists(atPath: example.pictures[0].path))
            }
        }
        samples.expectErrors { path in
            let instructions = try open(path, split: .train)
            for index in 0..<instructions.count { _ = try instructions.example(index, epoch: 0) }
        }
        // The annotations alone name all the rest.
        let file = "\(samples.root)/valid/published/annotations/panoptic_train2017.json"
        #expect(try open(file, split: .train).example(0, epoch: 0).kind == "list")
    }

    @Test func conversations() throws {
        let samples = try Samples("conversations")
        #expect(samples.valid.count >= 8)
        let images = try DataFolder(samples.root)
        for (name, holds) in samples.valid {
            let dataset = try Conversations(path: "\(samples.root)/valid/\(name)", images: images)
            #expect(dataset.count == 1)
            try expect(dataset.example(0, epoch: 0), holds, name)
        }
        samples.expectErrors { path in
            let dataset = try Conversations(path: path, images: images)
            for index in 0..<dataset.count { _ = try dataset.example(index, epoch: 0) }
        }
    }

    @Test func textLines() throws {
        let samples = try Samples("text-lines")
        for (name, holds) in samples.valid {
            let dataset = try TextLines(path: "\(samples.root)/valid/\(name)")
            #expect(dataset.count == 1)
            let example = try dataset.example(0, epoch: 0)
            if case .string(let text) = holds {
                #expect(example.content == .text(text), "\(name)")
            } else {
                try expect(example, holds, name)
            }
        }
        samples.expectErrors { path in
            let dataset = try TextLines(path: path)
            for index in 0..<dataset.count { _ = try dataset.example(index, epoch: 0) }
        }
    }

    private func expect(_ example: Example, _ holds: JSONValue, _ name: String) throws {
        guard case .array(let records) = holds else {
            Issue.record("\(name): no array")
            return
        }
        let exchanges = try records.map { record in
            let reader = try JSONReader(record, place: name)
            return Exchange(
                question: try reader.string("question"), answer: try reader.string("answer"),
                pictureCount: try reader.int("pictures"))
        }
        #expect(example.content == .conversation(exchanges), "\(name)")
        #expect(example.pictures.count == exchanges.reduce(0) { $0 + $1.pictureCount })
    }
}

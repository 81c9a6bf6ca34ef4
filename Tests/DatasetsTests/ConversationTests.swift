import Bytes
import Datasets
import Foundation
import Models
import Testing

@Suite struct ConversationTests {
    /// Pictures that a panoptic data set knows by name come with their crayon prompt.
    @Test func panopticMapsByName() throws {
        try withFolder { folder in
            try FileManager.default.createSymbolicLink(
                atPath: "\(folder)/scenes", withDestinationPath: Fixtures.scenes)
            try FileManager.default.copyItem(atPath: "\(Fixtures.scenes)/001.png", toPath: "\(folder)/unknown.png")
            let path = "\(folder)/llava.json"
            let turns =
                #""conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "sky"}]"#
            try write(#"[{"image": "scenes/002.png", \#(turns)}, {"image": "unknown.png", \#(turns)}]"#, to: path)
            let instructions = try Fixtures.instructions()
            let dataset = try Conversations(
                path: path, images: DataFolder(folder), coco: instructions.coco, view: instructions.view)
            let encoder = try Fixtures.encoder()
            let known = try encoder(dataset.example(0, epoch: 0))
            let scene = try encoder(instructions.example(2, epoch: 0))
            #expect(known.input.images == scene.input.images)
            #expect(known.input.images.first?.crayon != nil)
            #expect(try encoder(dataset.example(1, epoch: 0)).input.images.first?.crayon == nil)
        }
    }

    @Test func picturesNeedTheirFolder() throws {
        let path = "\(Fixtures.root)/Formats/samples/conversations/valid/picture-first.json"
        let error = #expect(throws: CrayonError.self) { try Conversations(path: path).example(0, epoch: 0) }
        #expect(error?.description.contains("--images") == true)
        #expect(throws: CrayonError.self) { try DataFolder("\(Fixtures.root)/none") }
    }

    /// Errors deep in a file say where in the file, not where in the record.
    @Test func offsetsAreTheFiles() throws {
        try withFolder { folder in
            let path = "\(folder)/data.json"
            try write("[\(String(repeating: " ", count: 1000)){\"conversations\": [nul]}]", to: path)
            let error = #expect(throws: CrayonError.self) { try Conversations(path: path).example(0, epoch: 0) }
            #expect(error?.item == "JSON at byte 1020")
        }
    }

    /// Memory does not grow with the file: a hundred thousand records take a list of places.
    @Test func manyRecords() throws {
        try withFolder { folder in
            let path = "\(folder)/lines.jsonl"
            let line = "{\"text\": \"red circle\"}\n"
            try write(String(repeating: line, count: 100_000), to: path)
            let dataset = try TextLines(path: path)
            #expect(dataset.count == 100_000)
            #expect(try dataset.example(99_999, epoch: 0).source == "\(path): record 100000")
        }
    }
}

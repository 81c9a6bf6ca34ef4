import Bytes
import Checkpoints
import Datasets
import Foundation
import Models
import Testing

/// Pictures and records that cannot be used.
@Suite struct BrokenDataTests {
    /// A copy of the scenes in which some things are broken.
    static func withScenes<T>(_ body: (String) throws -> T) throws -> T {
        try withFolder { folder in
            let copy = "\(folder)/scenes"
            try FileManager.default.copyItem(atPath: Fixtures.scenes, toPath: copy)
            return try body(copy)
        }
    }

    static func instructions(_ folder: String) throws -> CrayonInstructions {
        let view = try #require(CrayonView(Fixtures.source().configuration))
        return try CrayonInstructions(COCOPanoptic(COCOLayout(path: folder)), view: view)
    }

    @Test func areLeftOutCountedAndNamed() throws {
        try Self.withScenes { folder in
            try Data([1, 2, 3]).write(to: URL(filePath: "\(folder)/003.jpg"))
            try FileManager.default.removeItem(atPath: "\(folder)/005_panoptic.png")
            let mixture = try DataMixture(Self.instructions(folder))
            func run(_ options: BatchOptions) throws -> ([[[Int]]], [SkippedRecord], RecordCounts) {
                let stream = try BatchStream(mixture, encoder: Fixtures.encoder(), options: options)
                var (tokens, skipped): ([[[Int]]], [SkippedRecord]) = ([], [])
                var counts = RecordCounts()
                for _ in 0..<12 {
                    let batch = try stream.next()
                    tokens.append(batch.sequences.map(\.input.tokens))
                    skipped += batch.skipped
                    counts = batch.position.counts
                }
                return (tokens, skipped, counts)
            }
            let (tokens, skipped, counts) = try run(BatchOptions(batchSize: 4, ahead: 0, mostBroken: 0.2))
            #expect(counts.brokenRecords >= 2 && counts.brokenPictures >= 2)
            #expect(counts.skipped == skipped.count)
            #expect(skipped.contains { $0.reason == .brokenPicture && $0.text.contains("003.jpg") })
            #expect(skipped.contains { $0.reason == .brokenRecord && $0.text.contains("005_panoptic.png") })
            #expect(tokens.flatMap(\.self).count == 48 - counts.brokenPictures)
            let threaded = try run(BatchOptions(batchSize: 4, ahead: 3, workers: 2, mostBroken: 0.2))
            #expect(threaded.0 == tokens && threaded.1 == skipped && threaded.2 == counts)

            let error = #expect(throws: CrayonError.self) { _ = try run(BatchOptions(batchSize: 4, brokenAfter: 20)) }
            #expect(error?.description.contains("broken") == true)
            #expect(error?.advice?.contains("005_panoptic.png") == true)
        }
    }

    /// A map of another picture: no map is stretched over a picture that it does not fit.
    @Test func mapsOfAnotherShape() throws {
        try withFolder { folder in
            let sample = "\(Fixtures.root)/Formats/samples/coco/valid/beside"
            try FileManager.default.copyItem(atPath: sample, toPath: "\(folder)/coco")
            let picture = "\(folder)/coco/000000000042.jpg"
            try FileManager.default.removeItem(atPath: picture)
            try FileManager.default.copyItem(atPath: "\(Fixtures.scenes)/000.png", toPath: picture)
            let coco = try COCOPanoptic(COCOLayout(path: "\(folder)/coco"))
            let instructions = try CrayonInstructions(coco, view: CrayonView(categories: coco.categories, side: 8))
            let example = try instructions.example(0, epoch: 0)
            let error = #expect(throws: CrayonError.self) { try example.pictures[0].read() }
            #expect(error?.description.contains("8 x 4 pixels, the picture 112 x 112") == true)
        }
    }

    @Test func namesThatLeadOutAreRefused() throws {
        for name in ["../secret.png", "/etc/passwd", "a/../../b.png", "", "a/", "..", "a\u{0}b"] {
            let folder = try DataFolder(Fixtures.scenes)
            let error = #expect(throws: CrayonError.self) {
                try folder.file(name, of: "record [3]", in: "data.json")
            }
            #expect(error?.description.hasPrefix("data.json: record [3]: ") == true)
        }
    }

    /// Each change of the annotations, and what the error says.
    @Test(arguments: [
        ("\"image_id\": 7,", "\"image_id\": 700,", "the id of a picture in 'images'"),
        ("\"file_name\": \"007_panoptic.png\"", "\"file_name\": \"../007_panoptic.png\"", "the name of a file below"),
        ("\"file_name\": \"007_panoptic.png\"", "\"file_name\": \"none.png\"", "none.png"),
        ("\"file_name\": \"007_panoptic.png\"", "\"file_name\": \"007.jpg\"", "no PNG file"),
        ("\"file_name\": \"007_panoptic.png\"", "\"file_name\": 7", "a string"),
    ])
    func oneBrokenAnnotation(change: (from: String, to: String, error: String)) throws {
        try Self.withScenes { folder in
            let path = "\(folder)/panoptic.json"
            var text = try String(contentsOfFile: path, encoding: .utf8)
            #expect(text.contains(change.from))
            text = text.replacing(change.from, with: change.to)
            try write(text, to: path)
            let instructions = try Self.instructions(folder)
            for index in 0..<24 where index != 7 { _ = try instructions.example(index, epoch: 0) }
            let error = #expect(throws: CrayonError.self) { try instructions.example(7, epoch: 0) }
            #expect(error?.description.contains(change.error) == true, "\(String(describing: error))")
        }
    }

    /// What makes the whole file unusable.
    @Test(arguments: [
        ("{", "a string"), ("[]", "key 'annotations'"), ("", "an array nor"), ("{}", "key 'annotations'"),
        ("{\"annotations\": [], \"images\": [], \"categories\": []}", "no records"),
        ("{\"annotations\": [{}], \"images\": [], \"categories\": []}", "key 'categories'"),
        ("{\"annotations\": 3, \"images\": [], \"categories\": []}", "no array"),
        ("{\"annotations\": [{]}", "brackets that do not pair"),
        ("{\"annotations\": [{}], \"annotations\": []}", "twice"),
        ("{\"annotations\": [{}", "end of text"), ("{\"annotations\": [{}]} x", "more text"),
        (
            "{\"annotations\": [{\"image_id\": 1}, {\"image_id\": 1}], \"images\": [], \"categories\": [{\"id\": 1, \"name\": \"a\"}]}",
            "a second annotation of picture 1"
        ),
        (
            "{\"annotations\": [{}], \"images\": [{\"id\": 1, \"file_name\": \"a\"}, {\"id\": 1, \"file_name\": \"b\"}], \"categories\": [{\"id\": 1, \"name\": \"a\"}]}",
            "a second picture 1"
        ),
        ("{\"annotations\": [{}], \"images\": [3], \"categories\": [{\"id\": 1, \"name\": \"a\"}]}", "an object"),
        (
            "{\"annotations\": [{}], \"images\": [], \"categories\": [{\"id\": 1, \"name\": \"a\"}, {\"id\": 1, \"name\": \"b\"}]}",
            "a second category 1"
        ),
    ])
    func unusableFile(file: (text: String, error: String)) throws {
        try withFolder { folder in
            try write(file.text, to: "\(folder)/panoptic.json")
            let error = #expect(throws: CrayonError.self) {
                let coco = try COCOPanoptic(COCOLayout(path: folder))
                _ = try coco.annotation(0)
            }
            #expect(error?.description.contains(file.error) == true, "\(String(describing: error))")
            #expect(error?.description.contains("panoptic.json") == true)
        }
    }

    @Test func nestingHasAnEnd() throws {
        try withFolder { folder in
            for start in ["", "{\"annotations\": ["] {
                try write(start + String(repeating: "[", count: 100_000), to: "\(folder)/panoptic.json")
                let error = #expect(throws: CrayonError.self) { try COCOPanoptic(COCOLayout(path: folder)) }
                #expect(error?.found.contains("nesting deeper") == true)
            }
        }
    }
}

import Foundation
import Testing

@Suite struct DataCommandTests {
    static let scenes = "\(Repository.sample)/scenes"

    @Test func preview() throws {
        try withFolder { folder in
            let found = try Command(
                "data", "preview", SampleBundle.path.get(), "--coco", Self.scenes, "--count", "3", "-o", "\(folder)/new"
            )
            #expect(found.status == 0 && found.errors.isEmpty)
            #expect(found.output.contains("| User: ") && found.output.contains("<stop>»"))
            #expect(found.output.contains("crayon map of 8 x 8 cells"))
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: "\(folder)/new").sorted() == [
                    "0001.png", "0002.png", "0003.png",
                ])
            let again = try Command(
                "data", "preview", SampleBundle.path.get(), "--coco", Self.scenes, "--count", "3", "-o", "\(folder)/new"
            )
            #expect(again.output == found.output)
            let other = try Command(
                "data", "preview", SampleBundle.path.get(), "--coco", Self.scenes, "--count", "3", "--seed", "1")
            #expect(other.status == 0 && other.output != found.output)
        }
    }

    @Test func previewAsJSON() throws {
        let found = try Command(
            "data", "preview", SampleBundle.path.get(), "--coco", Self.scenes, "--count", "2", "--json")
        #expect(found.status == 0)
        let examples = try #require(try JSONSerialization.jsonObject(with: Data(found.output.utf8)) as? [[String: Any]])
        #expect(examples.count == 2)
        for example in examples {
            let tokens = try #require(example["tokens"] as? [Int])
            let labels = try #require(example["labels"] as? [Int])
            #expect(tokens.count == labels.count)
            #expect(zip(tokens, labels).allSatisfy { $1 == -100 || $1 == $0 })
            #expect(labels.last == tokens.last)
            // A picture of 64 patches in the place of its mark.
            #expect(example["positions"] as? Int == tokens.count + 63)
        }
    }

    @Test func previewOfTextAndConversations() throws {
        let samples = Repository.root.appending(path: "Formats/samples").path
        let text = try Command("data", "preview", "--text", "\(samples)/text-lines/valid/prompt.jsonl", "--count", "1")
        #expect(text.status == 0)
        #expect(text.output.contains("| User: Hello?\n   | Assistant:« Hello.<stop>»"))
        let chat = try Command(
            "data", "preview", "--conversations", "\(samples)/conversations/valid/two-pictures.json", "--images",
            samples,
            "--template", "vicuna", "--count", "1")
        #expect(chat.status == 0)
        #expect(chat.output.contains("ASSISTANT:« A horse.</s>» <image> USER: And ASSISTANT:« Too.</s>»"))
        let broken = try Command(
            "data", "preview", "--text", "\(samples)/text-lines/invalid/not-json.jsonl", "--count", "1")
        #expect(broken.status == 0 && broken.output.hasPrefix("1. left out: "))
    }

    @Test func whatCannotBeShown() throws {
        for arguments in [
            ["data", "preview"], ["data", "preview", "--coco", "/nowhere"],
            ["data", "preview", "--text", "a", "--images", "b"],
            ["data", "preview", "--coco", Self.scenes, "--split", "test"],
            ["data", "preview", "--coco", Self.scenes, "--share", "coco=0"],
            ["data", "preview", "--coco", Self.scenes, "--share", "text=1"],
            ["data", "preview", "--coco", Self.scenes, "--count", "0"],
            ["data", "preview", "--coco", Self.scenes, "--template", "none"],
        ] {
            let found = try Command(arguments)
            #expect(found.status == 2 && !found.errors.isEmpty, "\(arguments)")
        }
    }

    @Test func eval() throws {
        let found = try Command(
            "eval", "c2b", SampleBundle.path.get(), "--coco", Self.scenes, "--limit", "4", "--against-no-crayon",
            "--json")
        #expect(found.status == 0 && found.errors.isEmpty)
        let models = try #require(try found.json["models"] as? [[String: Any]])
        #expect(models.compactMap { $0["model"] as? String } == ["sample.crayon", "sample.crayon (no crayon)"])
        for model in models {
            #expect(model["pictures"] as? Int == 4)
            #expect((model["classes"] as? [Any])?.count == 16)
            #expect(model["score"] is Double && model["in_form"] is [String: Any])
        }
        let table = try Command("eval", "b2c", SampleBundle.path.get(), "--coco", Self.scenes, "--limit", "4")
        #expect(table.status == 0 && table.output.contains("a class named"))
        try withFolder { folder in
            let plotted = try Command(
                "eval", "b2c", SampleBundle.path.get(), "--coco", Self.scenes, "--limit", "4", "--plot",
                "\(folder)/objects")
            #expect(plotted.status == 0 && plotted.output == table.output)
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["objects.png", "objects.svg"])
        }
        let without = try Command("eval", "b2c", SampleBundle.path.get())
        #expect(without.status == 2)
    }
}

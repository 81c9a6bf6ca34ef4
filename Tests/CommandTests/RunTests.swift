import Foundation
import Testing

/// `crayon run` on the sample, as a user types it.
@Suite struct RunTests {
    private func run(_ arguments: [String], input: String = "") throws -> Command {
        try Command(["run", try SampleBundle.path.get()] + arguments, input: input)
    }

    @Test func answersAboutAPicture() throws {
        let found = try run(Repository.picture + ["What is in the box [0.25, 0.25, 0.50, 0.50]?"])
        #expect(found.status == 0 && found.errors.isEmpty)
        #expect(found.output == "green circle\n")
    }

    @Test func saysThatThereIsNoMap() throws {
        let question = "What is in the box [0.25, 0.25, 0.50, 0.50]?"
        let found = try run(["--image", "\(Repository.scene).png", question])
        #expect(found.status == 0)
        #expect(
            found.errors.contains(
                "000.png: no panoptic map: the model is told that every part of the picture is unknown"))
        #expect(!found.output.isEmpty)
        #expect(try run(["--quiet", "--image", "\(Repository.scene).png", question]).errors.isEmpty)
    }

    /// One line of standard input is one turn; later ones know the picture.
    @Test func severalTurns() throws {
        let found = try run(
            Repository.picture + ["--stats"],
            input: "What is in the box [0.25, 0.25, 0.50, 0.50]?\n\nIs there a red square in this image?\n")
        #expect(found.status == 0)
        #expect(found.output.split(separator: "\n") == ["green circle", "Yes"])
        let reused = found.errors.matches(of: /\((\d+) from the cache\)/).compactMap { Int($0.1) }
        #expect(reused.count == 2 && reused[0] == 0 && reused[1] > 64)
        #expect(found.errors.contains("model ready after") && found.errors.contains("of memory at most"))
    }

    @Test func severalPictures() throws {
        let second = "\(Repository.sample)/scenes/001"
        let found = try run(
            Repository.picture + [
                "--image", "\(second).png", "--panoptic", "\(second)_panoptic.png", "--segments",
                "\(second)_segments.json", "--json", "--max-tokens", "8",
                "What is in the box [0.25, 0.25, 0.50, 0.50]?",
            ])
        #expect(found.status == 0 && found.errors.isEmpty)
        // Two pictures of 64 patches.
        #expect(try #require(found.json["prompt_positions"] as? Int) > 128)
    }

    @Test func keysAndValuesInFewerBits() throws {
        let question = "What is in the box [0.25, 0.25, 0.50, 0.50]?"
        for format in ["f32", "f16", "int8"] {
            #expect(try run(Repository.picture + ["--kv-cache", format, question]).output == "green circle\n")
        }
        let unknown = try run(Repository.picture + ["--kv-cache", "int4", question])
        #expect(unknown.status == 2 && unknown.errors.contains("--kv-cache"))
    }

    @Test func lookedUpTokens() throws {
        let question =
            "Provide multiple object names with their numbering index and the objects' bounding box coordinates in this image."
        let plain = try run(Repository.picture + [question])
        let found = try run(Repository.picture + ["--lookup", "3", "--stats", question])
        #expect(found.status == 0 && found.output == plain.output && found.output.hasPrefix("Sure, it is (#1 "))
        let counts = try #require(
            found.errors.firstMatch(
                of: /look-up: (\d+) tokens proposed, (\d+) accepted; (\d+) passes for (\d+) tokens/))
        let (proposed, accepted) = try (#require(Int(counts.1)), #require(Int(counts.2)))
        let (passes, tokens) = try (#require(Int(counts.3)), #require(Int(counts.4)))
        #expect(accepted <= proposed && passes + accepted == tokens)
        // The answer repeats the boxes of the prompt.
        #expect(passes * 3 < tokens * 2)
        #expect(try run(["--lookup", "4", question]).status == 2)
    }

    /// Answers and rates do not depend on how many are made at a time, nor are pictures read again for each.
    @Test func severalAnswersAtATime() throws {
        let questions = ["--questions", "\(Repository.sample)/scenes/questions.json", "--stats", "--quiet", "--json"]
        let one = try run(questions)
        let four = try run(questions + ["--batch", "4"])
        #expect(one.status == 0 && four.status == 0 && one.output == four.output)
        func passes(_ found: Command) throws -> Int {
            let counts = try #require(
                found.errors.firstMatch(
                    of:
                        /142 answers: vision tower (\d+) times, prompts (\d+) positions \((\d+) from the cache\).* (\d+) passes/
                ))
            // One for each of 24 pictures, most of the prompts' positions with it.
            #expect(counts.1 == "24")
            #expect(try #require(Int(counts.3)) * 2 > #require(Int(counts.2)))
            return try #require(Int(counts.4))
        }
        #expect(try passes(four) * 2 < passes(one))
        #expect(try run(["--batch", "2", "What?"]).status == 2)
        #expect(try run(questions + ["--batch", "0"]).status == 2)
    }

    @Test func stopTextsAndLength() throws {
        let question = "What is in the box [0.25, 0.25, 0.50, 0.50]?"
        #expect(try run(Repository.picture + ["--stop", "circle", question]).output == "green \n")
        let short = try run(Repository.picture + ["--max-tokens", "1", "--json", question])
        #expect(try short.json["finish_reason"] as? String == "length")
    }

    @Test func theSeedDecides() throws {
        let sampled = ["--temperature", "3", "--top-k", "100", "--top-p", "0.99", "--max-tokens", "16", "--quiet"]
        func answer(_ seed: String) throws -> String {
            try run(Repository.picture + sampled + ["--seed", seed, "Where is the red circle?"]).output
        }
        #expect(try answer("1") == answer("1"))
        #expect(try answer("1") != answer("2"))
    }

    /// The figures that the demo prints: 4-bit answers are right nearly as often as 16-bit ones.
    @Test func ratesOfRightAnswers() throws {
        let questions = "\(Repository.sample)/scenes/questions.json"
        func rates(_ model: String) throws -> [String: (right: Int, asked: Int)] {
            let found = try Command("run", model, "--questions", questions, "--json")
            #expect(found.status == 0 && found.errors.isEmpty)
            let list = try #require(try found.json["rates"] as? [[String: Any]])
            return try Dictionary(
                uniqueKeysWithValues: list.map {
                    (
                        try #require($0["kind"] as? String),
                        (try #require($0["right"] as? Int), try #require($0["asked"] as? Int))
                    )
                })
        }
        let full = try rates(Repository.checkpoint)
        let quantized = try rates(SampleBundle.path.get())
        #expect(full.keys.sorted() == ["all", "box", "class", "list", "presence"])
        let (right, asked) = try #require(full["all"])
        #expect(asked == 142 && right >= 123)
        #expect(try #require(quantized["all"]).right >= right - 5)
        #expect(try #require(quantized["class"]).right >= 44)
        try withFolder { folder in
            let path = "\(folder)/compact.crayon"
            let made = try Command("quantize", Repository.checkpoint, "-o", path, "--profile", "compact", "--quiet")
            #expect(made.status == 0)
            let compact = try rates(path)
            #expect(try #require(compact["all"]).right >= right - 5)
        }
    }

    @Test func questionsWithoutMapsAreCounted() throws {
        try withFolder { folder in
            let file = "\(folder)/questions.json"
            let records = [
                ["question": "Is there a red square in this image?", "image": "\(Repository.scene).png"],
                ["question": "Is there a red square?"],
            ]
            try JSONSerialization.data(withJSONObject: records).write(to: URL(filePath: file))
            let found = try run(["--questions", file, "--max-tokens", "4", "--template", "plain"])
            #expect(found.status == 0)
            #expect(found.errors.contains("\(file): no panoptic map with 1 of 2 questions"))
            #expect(found.output.split(separator: "\n").count == 4)
        }
    }
}

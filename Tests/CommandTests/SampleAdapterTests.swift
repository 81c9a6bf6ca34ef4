import Foundation
import Testing

/// `crayon adapter` on the sample and its adapter, which makes the model answer in sentences.
@Suite struct SampleAdapterTests {
    static let adapter = "\(Repository.sample)/adapter"
    static let question = "Is there a green circle in this image?"
    static let questions = "\(Repository.sample)/scenes/questions.json"

    private func crayon(_ words: String...) throws -> Command {
        let result = try Command(words)
        #expect(result.status == 0, "\(words.joined(separator: " ")): \(result.errors)")
        return result
    }

    private func answer(_ model: String) throws -> String {
        try Command(["run", model] + Repository.picture + [Self.question]).output
    }

    @Test func setsComeAndGo() throws {
        try withFolder { folder in
            let base = try SampleBundle.path.get()
            #expect(try answer(base) == "Yes\n")
            _ = try crayon("adapter", "add", base, "sentences=\(Self.adapter)", "-o", "\(folder)/beside.crayon")
            #expect(try answer("\(folder)/beside.crayon") == "Yes, there is a green circle.\n")
            let listed = try crayon("adapter", "list", "\(folder)/beside.crayon").output
            for set in ["image", "crayon", "sentences"] { #expect(listed.contains("\n\(set) ")) }
            _ = try crayon(
                "adapter", "remove", "\(folder)/beside.crayon", "sentences", "-o", "\(folder)/again.crayon")
            #expect(try answer("\(folder)/again.crayon") == "Yes\n")
        }
    }

    /// At full precision a merged adapter answers every question as it does beside the weights; in 4 bits 132 of 142 answers are
    /// the same to the letter.
    @Test(arguments: [("backbone=f32", 142), ("backbone=nf4", 128)])
    func answersStayWhenMerged(precision: String, least: Int) throws {
        try withFolder { folder in
            let (beside, merged) = ("\(folder)/beside.crayon", "\(folder)/merged.crayon")
            _ = try crayon(
                "quantize", Repository.checkpoint, "--adapter", "sentences=\(Self.adapter)", "--precision", precision,
                "-o", beside)
            _ = try crayon("adapter", "merge", beside, ":sentences", "-o", merged)
            let answers = try [beside, merged].map { model in
                try crayon("run", model, "--questions", Self.questions, "--answers", "--quiet").output
                    .split(separator: "\n").filter { $0.hasPrefix("  model:") }
            }
            #expect(answers[0].count == 142 && answers[1].count == 142)
            #expect(zip(answers[0], answers[1]).count { $0 == $1 } >= least)
        }
    }

    /// What was merged is found again.
    @Test func extractedAgain() throws {
        try withFolder { folder in
            _ = try crayon(
                "adapter", "merge", Repository.checkpoint, Self.adapter, "-o", "\(folder)/tuned", "--into", "f32")
            let printed = try crayon(
                "adapter", "extract", "--base", Repository.checkpoint, "--tuned", "\(folder)/tuned", "-o",
                "\(folder)/found", "--rank", "8"
            ).output
            #expect(printed.contains("25 pairs"))
            let text = try crayon("adapter", "compare", Self.adapter, "\(folder)/found").output
            let all = try #require(text.split(separator: "\n").last { $0.hasPrefix("all") })
            let difference = try #require(all.split(separator: " ").last.flatMap { Double($0) })
            #expect(difference < 1e-4)
        }
    }

    @Test(arguments: ["image", "crayon"])
    func restrictedPairsAreNotMerged(set: String) throws {
        try withFolder { folder in
            let result = try Command(
                ["adapter", "merge", Repository.checkpoint, "\(Repository.checkpoint):\(set)", "-o", "\(folder)/out"])
            #expect(result.status == 2)
            #expect(result.errors.contains(set == "image" ? "image positions only" : "read the crayon prompt"))
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
        }
    }
}

import Foundation
import Testing

/// A LLaVA with a byte-level tokenizer from checkpoint to trained bundle and back, as a user takes it.
@Suite(.serialized) struct LLaVACommandTests {
    private static let checkpoint = Repository.root.appending(path: "Tests/Fixtures/models/llava-modules").path

    private func succeed(_ words: String...) throws -> String {
        let made = try Command(words)
        #expect(made.status == 0, "\(made.errors)")
        return made.output
    }

    @Test func runsAndLearnsFromConversations() throws {
        try withFolder { folder in
            let (bundle, scenes) = ("\(folder)/llava.crayon", "\(folder)/scenes")
            let probe = "\(Self.checkpoint)/probe-0.safetensors"
            _ = try succeed("quantize", Self.checkpoint, "-o", bundle, "--quiet", "--probe", probe)
            let inspected = try succeed("inspect", bundle)
            #expect(inspected.contains("llava"))
            #expect(inspected.contains("2 of 3 layers"))
            _ = try succeed("verify", bundle)
            _ = try succeed("synthesize", "scenes", "--count", "8", "-o", scenes, "--quiet")
            let picture = "\(Repository.scene).png"
            let ask = ["run", bundle, "--image", picture, "What is in this image?", "--max-tokens", "6"]
            let answered = try Command(ask)
            #expect(answered.status == 0, "\(answered.errors)")
            #expect(try Command(ask).output == answered.output)

            let tuned = "\(folder)/tuned.crayon"
            let learned = try Command([
                "train", "qlora", bundle, "--conversations", "\(scenes)/conversations.json", "--images", scenes,
                "--rank", "2", "--updates", "12", "--rate", "1e-2", "--sequences", "4", "--batch-size", "2", "--quiet",
                "--run", "\(folder)/run", "-o", tuned,
            ])
            #expect(learned.status == 0, "\(learned.errors)")
            let metrics = try String(contentsOfFile: "\(folder)/run/metrics.jsonl", encoding: .utf8)
            let losses = try metrics.split(separator: "\n").compactMap { line in
                (try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])?["loss"] as? Double
            }
            #expect(losses.count == 12)
            #expect((losses.last ?? 99) < (losses.first ?? 0), "\(losses)")
            _ = try succeed("verify", tuned)
            let changed = try Command(["run", tuned] + ask.dropFirst(2))
            #expect(changed.status == 0, "\(changed.errors)")
            // A set of its own beside the frozen backbone, as a PEFT folder too.
            #expect(try succeed("inspect", tuned).contains("Low-rank set qlora: rank 2"))
            #expect(FileManager.default.fileExists(atPath: "\(folder)/run/adapters/qlora/adapter_config.json"))
        }
    }

    /// Learning with the second set alone: no crayon prompt, and no first set before it.
    @Test func secondSetAlone() throws {
        try withFolder { folder in
            let (bundle, scenes) = ("\(folder)/llava.crayon", "\(folder)/scenes")
            _ = try succeed("quantize", Self.checkpoint, "-o", bundle, "--quiet")
            _ = try succeed("synthesize", "scenes", "--count", "8", "-o", scenes, "--quiet")
            let learned = try Command([
                "train", "vl-cit", bundle, "--conversations", "\(scenes)/conversations.json", "--images", scenes,
                "--rank", "2", "--updates", "2", "--sequences", "4", "--batch-size", "2", "--quiet",
                "-o", "\(folder)/vl.crayon",
            ])
            #expect(learned.status == 0, "\(learned.errors)")
            #expect(try succeed("inspect", "\(folder)/vl.crayon").contains("Low-rank set vl: rank 2"))
        }
    }

    @Test func exportsUnderItsNames() throws {
        try withFolder { folder in
            let bundle = "\(folder)/llava.crayon"
            _ = try succeed("quantize", Self.checkpoint, "-o", bundle, "--precision", "backbone=source", "--quiet")
            _ = try succeed("export", bundle, "--format", "safetensors", "-o", "\(folder)/back", "--quiet")
            for name in ["model.safetensors", "config.json", "tokenizer.json"] {
                #expect(FileManager.default.fileExists(atPath: "\(folder)/back/\(name)"))
            }
            let digests = try ["\(folder)/back", Self.checkpoint].map { folder in
                try succeed("inspect", folder, "--tensors", "--digests")
            }
            let lines = digests.map { $0.split(separator: "\n").filter { $0.contains("model.language_model") } }
            #expect(!lines[0].isEmpty && lines[0] == lines[1])
            _ = try succeed(
                "export", bundle, "--format", "gguf", "--mmproj", "-o", "\(folder)/mmproj.gguf", "--quiet")
        }
    }
}

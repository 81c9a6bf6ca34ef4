import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Stages of training as a user runs them, on the sample model and drawn scenes.
@Suite(.serialized) struct TrainCommandTests {
    /// A bundle before its first stage and scenes to learn from.
    private static let start = Result {
        let folder = FileManager.default.temporaryDirectory.appending(path: "crayon-train-\(getpid())").path
        atexit {
            let folder = FileManager.default.temporaryDirectory.appending(path: "crayon-train-\(getpid())").path
            try? FileManager.default.removeItem(atPath: folder)
        }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for words in [
            ["quantize", Repository.checkpoint, "-o", "\(folder)/base.crayon", "--quiet"],
            ["train", "fresh", "\(folder)/base.crayon", "-o", "\(folder)/fresh.crayon", "--quiet"],
            ["synthesize", "scenes", "--count", "24", "-o", "\(folder)/scenes", "--quiet"],
        ] {
            let made = try Command(words)
            try #require(made.status == 0, "\(made.errors)")
        }
        return folder
    }

    private static let small = ["--sequences", "4", "--batch-size", "2", "--quiet"]

    private func train(_ words: [String]) throws {
        let made = try Command(["train"] + words + Self.small)
        #expect(made.status == 0, "\(made.errors)")
    }

    private static func checkpoints(_ run: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: run).filter { $0.contains("checkpoint") }.sorted()
    }

    private func metrics(_ run: String) throws -> [[String: Any]] {
        try String(contentsOfFile: "\(run)/metrics.jsonl", encoding: .utf8).split(separator: "\n").map { line in
            try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        }
    }

    @Test func threeStagesFollowEachOther() throws {
        let start = try Self.start.get()
        try withFolder { folder in
            let scenes = ["--coco", "\(start)/scenes"]
            let talk = ["--conversations", "\(start)/scenes/conversations.json", "--images", "\(start)/scenes"]
            let rate = ["--updates", "6", "--rate", "3e-3", "--evaluate-every", "3", "--val-coco", "\(start)/scenes"]
            let few = ["--val-sequences", "4", "--val-questions", "2"]
            try train(["cpt", "\(start)/fresh.crayon", "-o", "\(folder)/cpt.crayon"] + scenes + rate + few)
            try train(
                ["image-cit", "\(folder)/cpt.crayon", "--rank", "4", "-o", "\(folder)/image.crayon"] + scenes + rate
                    + few)
            try train(
                ["vl-cit", "\(folder)/image.crayon", "--rank", "4", "--run", "\(folder)/vl", "-o"]
                    + ["\(folder)/final.crayon"] + scenes + talk + ["--updates", "3"])

            let losses = try metrics("\(folder)/cpt.crayon.run").compactMap { $0["loss"] as? Double }
            #expect(losses.count == 6 && (losses.last ?? 9) < (losses.first ?? 0))
            let evaluations = try metrics("\(folder)/cpt.crayon.run").filter { $0["evaluation"] != nil }
            #expect(evaluations.compactMap { $0["update"] as? Int } == [0, 3, 6])
            let run = try FileManager.default.contentsOfDirectory(atPath: "\(folder)/image.crayon.run")
            #expect(Set(run).isSuperset(of: ["plan.json", "metrics.jsonl", "samples.jsonl", "loss.svg", "loss.png"]))
            #expect(run.contains("checkpoint-000006"))

            // The sets are where they belong, as PEFT folders too, and the history tells of every stage.
            let inspected = try Command("inspect", "\(folder)/final.crayon")
            #expect(inspected.output.contains("Low-rank set object: rank 4"))
            #expect(inspected.output.contains("Low-rank set vl: rank 4"))
            for stage in ["cpt", "image-cit", "vl-cit"] { #expect(inspected.output.contains("stage=\(stage)")) }
            let compared = try Command(
                "adapter", "compare", "\(folder)/final.crayon:object", "\(folder)/image.crayon.run/adapters/object")
            #expect(compared.status == 0, "\(compared.errors)")
            #expect(compared.output.contains("1.0000"), "the first set is frozen while the second learns")
            #expect(try Command("verify", "\(folder)/final.crayon").status == 0)
        }
    }

    /// Killed without a chance to tidy up; the second run ends in the bytes of one that nobody disturbed.
    @Test func killedRunGoesOn() throws {
        let start = try Self.start.get()
        try withFolder { folder in
            let words =
                ["train", "cpt", "\(start)/fresh.crayon", "--coco", "\(start)/scenes", "--updates", "40"]
                + ["--checkpoint-every", "2"] + Self.small
            let whole = try Command(words + ["--run", "\(folder)/whole", "-o", "\(folder)/whole.crayon"])
            #expect(whole.status == 0, "\(whole.errors)")

            let output = ["--run", "\(folder)/killed", "-o", "\(folder)/killed.crayon"]
            let process = try Command.start(words + output)
            let deadline = Date.now + 30
            while !FileManager.default.fileExists(atPath: "\(folder)/killed/checkpoint-000004"), Date.now < deadline {
                usleep(500)
            }
            kill(process, SIGKILL)
            var status: Int32 = 0
            try #require(waitpid(process, &status, 0) == process)
            #expect(status & 0x7f == SIGKILL, "the run was over before it could be killed")
            #expect(!FileManager.default.fileExists(atPath: "\(folder)/killed.crayon"))

            let refused = try Command(words + output)
            #expect(refused.status == 2 && refused.errors.contains("--resume"))
            // A disk that has no room for the next checkpoint: the last one stays whole.
            let before = try Self.checkpoints("\(folder)/killed")
            let limited = Process()
            limited.executableURL = URL(filePath: "/bin/sh")
            limited.arguments = [
                "-c", "ulimit -f 200; trap '' XFSZ; exec \"$0\" \"$@\"", Command.path,
            ]
            limited.arguments? += words + output + ["--resume"]
            let said = Pipe()
            limited.standardError = said
            try limited.run()
            let text = String(decoding: said.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            limited.waitUntilExit()
            #expect(limited.terminationStatus == 2 && text.contains("learned.safetensors"), "\(text)")
            #expect(try Self.checkpoints("\(folder)/killed") == before)
            #expect(!FileManager.default.fileExists(atPath: "\(folder)/killed.crayon"))

            let resumed = try Command(words + output + ["--resume"])
            #expect(resumed.status == 0, "\(resumed.errors)")
            #expect(
                try Data(contentsOf: URL(filePath: "\(folder)/killed.crayon"))
                    == Data(contentsOf: URL(filePath: "\(folder)/whole.crayon")))
            #expect(try metrics("\(folder)/killed").count == metrics("\(folder)/whole").count)
        }
    }

    /// A polite signal: a checkpoint, a word about it, and the signal's own exit.
    @Test func signalledRunLeavesACheckpoint() throws {
        let start = try Self.start.get()
        try withFolder { folder in
            let words =
                ["train", "cpt", "\(start)/fresh.crayon", "--coco", "\(start)/scenes", "--updates", "100000"]
                + Self.small + ["-o", "\(folder)/out.crayon"]
            let process = try Command.start(words)
            let log = "\(folder)/out.crayon.run/metrics.jsonl"
            let deadline = Date.now + 30
            while ((try? Data(contentsOf: URL(filePath: log)))?.count ?? 0) == 0, Date.now < deadline { usleep(500) }
            kill(process, SIGTERM)
            var status: Int32 = 0
            try #require(waitpid(process, &status, 0) == process)
            #expect(status & 0x7f == SIGTERM)
            let run = try FileManager.default.contentsOfDirectory(atPath: "\(folder)/out.crayon.run")
            #expect(run.contains { $0.hasPrefix("checkpoint-") })
            #expect(!FileManager.default.fileExists(atPath: "\(folder)/out.crayon"))
        }
    }

    @Test func plainQLoRALearnsFromText() throws {
        let start = try Self.start.get()
        try withFolder { folder in
            let lines = (0..<6).map { #"{"prompt": "Name \#($0)", "answer": "It is a red circle."}"# }
            try (lines.joined(separator: "\n") + "\n").write(
                toFile: "\(folder)/text.jsonl", atomically: true, encoding: .utf8)
            try train([
                "qlora", "\(start)/base.crayon", "--text", "\(folder)/text.jsonl", "--rank", "2", "--updates", "8",
                "--rate", "1e-2", "--optimizer", "adamw8bit", "-o", "\(folder)/out.crayon",
            ])
            let losses = try metrics("\(folder)/out.crayon.run").compactMap { $0["loss"] as? Double }
            #expect(losses.count == 8 && (losses.last ?? 9) < 0.7 * (losses.first ?? 0))
        }
    }

    /// Two processes share the work; what they learn is what one learns.
    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/mpirun")))
    func twoRanksLearnWhatOneDoes() throws {
        let start = try Self.start.get()
        try withFolder { folder in
            let words =
                ["train", "cpt", "\(start)/fresh.crayon", "--coco", "\(start)/scenes", "--updates", "3"] + Self.small
            let alone = try Command(words + ["-o", "\(folder)/one.crayon"])
            #expect(alone.status == 0, "\(alone.errors)")
            let process = Process()
            process.executableURL = URL(filePath: "/usr/bin/mpirun")
            process.arguments =
                ["-n", "2", "--oversubscribe", "--allow-run-as-root", Command.path] + words
                + ["--mpi", "-o", "\(folder)/two.crayon"]
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
            process.waitUntilExit()
            #expect(process.terminationStatus == 0)
            #expect(
                try Data(contentsOf: URL(filePath: "\(folder)/one.crayon"))
                    == Data(contentsOf: URL(filePath: "\(folder)/two.crayon")))
        }
    }

    @Test func mistakesAreExplained() throws {
        let start = try Self.start.get()
        try withFolder { folder in
            let scenes = ["--coco", "\(start)/scenes"]
            let output = ["-o", "\(folder)/out.crayon"]
            for (words, part) in [
                (["cpt", "\(start)/fresh.crayon"] + output, "No data"),
                (["cpt", "\(start)/none.crayon"] + scenes + output, "none.crayon"),
                (["cpt", "\(start)/fresh.crayon", "--coco", "\(folder)"] + output, "panoptic"),
                (["custom", "\(start)/fresh.crayon"] + scenes + output, "Nothing learns"),
                (
                    ["custom", "\(start)/fresh.crayon", "--learn", "adapters:none"] + scenes + output,
                    "no active set 'none'"
                ),
                (["custom", "\(start)/fresh.crayon", "--learn", "backbone"] + scenes + output, "adapters:SET"),
                (["image-cit", "\(start)/fresh.crayon", "--rank", "100000"] + scenes + output, "rank"),
                (["cpt", "\(start)/fresh.crayon", "--rate", "-1"] + scenes + output, "rate"),
                (["cpt", "\(start)/fresh.crayon", "--active", "other"] + scenes + output, "no such set"),
                (["cpt", "\(start)/fresh.crayon", "--max-length", "10"] + scenes + output, "longer"),
            ] {
                let failed = try Command(["train"] + words + Self.small)
                #expect(failed.status == 2 && !failed.isSignalled, "\(words)")
                #expect(failed.errors.contains(part), "\(words): \(failed.errors)")
                #expect(!FileManager.default.fileExists(atPath: "\(folder)/out.crayon"))
                try? FileManager.default.removeItem(atPath: "\(folder)/out.crayon.run")
            }
        }
    }
}

import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Jobs that are stopped half way: they end by the signal itself, so that a shell sees why, and leave no part of an output, nor the
/// folder that they made for it.
@Suite struct InterruptionTests {
    enum Job: String, CaseIterable {
        case quantize, generic, convert, gguf

        func words(_ source: String, _ folder: String) -> [String] {
            switch self {
            case .quantize: ["quantize", source, "-o", "\(folder)/m.crayon"]
            case .generic: ["quantize", source, "--layout", "generic", "-o", "\(folder)/out"]
            case .convert: ["convert", source, "-o", "\(folder)/out"]
            case .gguf: ["export", source, "--format", "gguf", "-o", "\(folder)/m.gguf"]
            }
        }
    }

    private func wait(for process: pid_t) throws -> Int32 {
        var status: Int32 = 0
        try #require(waitpid(process, &status, 0) == process)
        return status
    }

    private func partials(in folder: String) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: folder).filter { $0.contains("crayon-partial") }
    }

    private func waitForPartial(in folder: String) throws {
        let deadline = Date.now + 30
        while try partials(in: folder).isEmpty, Date.now < deadline { usleep(500) }
        try #require(try !partials(in: folder).isEmpty)
    }

    @Test(arguments: Job.allCases, [SIGINT, SIGTERM]) func leavesNothing(job: Job, signal: Int32) throws {
        try withFolder { folder in
            try HollowCheckpoint.write(to: "\(folder)/in")
            let process = try Command.start(job.words("\(folder)/in", folder) + ["--quiet"])
            try waitForPartial(in: folder)
            kill(process, signal)
            // Ended by the signal itself, which is what the low bits say.
            #expect(try wait(for: process) & 0x7f == signal)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["in"])
        }
    }

    /// What a merge had finished stays for `--resume`, beside the output; the empty folder of the output goes.
    @Test(arguments: [SIGINT, SIGTERM]) func aMergeKeepsWhatItHadFinished(signal: Int32) throws {
        try withFolder { folder in
            let adapter = "\(Repository.sample)/adapter"
            let words = ["adapter", "merge", Repository.checkpoint, adapter, "-o", "\(folder)/out", "--quiet"]
            let process = try Command.start(
                words, environment: ["CRAYON_RECORD_BYTES": "1", "CRAYON_PAUSE_AFTER": "3"])
            let journal = "\(folder)/.out.crayon-resume/journal.jsonl"
            let deadline = Date.now + 30
            while (FileManager.default.contents(atPath: journal) ?? Data()).count(where: { $0 == 10 }) <= 3,
                Date.now < deadline
            { usleep(1000) }
            #expect(FileManager.default.fileExists(atPath: "\(folder)/out"))
            kill(process, signal)
            #expect(try wait(for: process) & 0x7f == signal)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [".out.crayon-resume"])
            let resumed = try Command(words + ["--resume"])
            #expect(resumed.status == 0, "\(resumed.errors)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["out"])
        }
    }

    /// Two runs that write into one folder: the second says who is there, and takes nothing from the first.
    @Test func aFolderIsOneRunsAtATime() throws {
        try withFolder { folder in
            try HollowCheckpoint.write(to: "\(folder)/in")
            let first = try Command.start(["convert", "\(folder)/in", "-o", "\(folder)/out", "--quiet"])
            try waitForPartial(in: folder)
            let partial = try #require(try partials(in: folder).first).split(separator: "/").last ?? ""
            kill(first, SIGSTOP)
            let bundle = try SampleBundle.path.get()
            for words in [
                ["convert", Repository.checkpoint], ["export", bundle, "--format", "bitsandbytes"], ["export", bundle],
                ["adapter", "merge", Repository.checkpoint, "\(Repository.sample)/adapter"],
                ["adapter", "convert", "\(bundle):image", "--to", "peft"],
            ] {
                let second = try Command(words + ["-o", "\(folder)/out", "--overwrite", "--quiet"])
                #expect(second.status == 2 && !second.isSignalled, "\(words): \(second.errors)")
                #expect(
                    second.errors.contains("\(folder)/out: another run that is writing into it"), "\(second.errors)")
                #expect(second.errors.contains(partial), "\(second.errors)")
            }
            #expect(try partials(in: folder).count == 1)
            kill(first, SIGCONT)
            kill(first, SIGTERM)
            #expect(try wait(for: first) & 0x7f == SIGTERM)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["in"])
            let third = try Command("export", bundle, "-o", "\(folder)/out", "--overwrite", "--quiet")
            #expect(third.status == 0, "\(third.errors)")
        }
    }
}

/// A checkpoint of a gigabyte that takes no room: a file of holes, which read as zeros.
enum HollowCheckpoint {
    static func write(to folder: String) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let (vocabulary, hidden) = (4_000_000, 64)
        let config = """
            {"model_type": "llama", "hidden_size": \(hidden), "num_attention_heads": 2, "num_hidden_layers": 1,
             "intermediate_size": 8, "vocab_size": \(vocabulary), "tie_word_embeddings": true}
            """
        try Data(config.utf8).write(to: URL(filePath: "\(folder)/config.json"))
        let layer = "model.layers.0"
        var shapes: [(String, [Int])] = [("model.embed_tokens.weight", [vocabulary, hidden])]
        for name in ["model.norm", "\(layer).input_layernorm", "\(layer).post_attention_layernorm"] {
            shapes.append(("\(name).weight", [hidden]))
        }
        for module in ["q", "k", "v", "o"] {
            shapes.append(("\(layer).self_attn.\(module)_proj.weight", [hidden, hidden]))
        }
        for module in ["gate", "up"] { shapes.append(("\(layer).mlp.\(module)_proj.weight", [8, hidden])) }
        shapes.append(("\(layer).mlp.down_proj.weight", [hidden, 8]))
        var entries: [String] = []
        var end = 0
        for (name, shape) in shapes {
            let size = 4 * shape.reduce(1, *)
            entries.append(#""\#(name)":{"dtype":"F32","shape":\#(shape),"data_offsets":[\#(end),\#(end + size)]}"#)
            end += size
        }
        let header = "{\(entries.joined(separator: ","))}"
        let path = "\(folder)/model.safetensors"
        let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
        try (length + Data(header.utf8)).write(to: URL(filePath: path))
        try #require(truncate(path, 8 + header.utf8.count + end) == 0)
    }
}

import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Long jobs that are killed, without a chance to tidy up, and that go on: the second run ends in the bytes of one that nobody
/// disturbed.
@Suite(.serialized) struct KilledRunTests {
    enum Job: String, CaseIterable {
        case extract, mergeCheckpoint, mergeBundle, start

        func words(in models: String) -> [String] {
            switch self {
            case .extract: ["extract", "--base", "\(models)/base", "--tuned", "\(models)/tuned", "--rank", "8"]
            case .mergeCheckpoint: ["merge", "\(models)/base", "\(models)/lora"]
            case .mergeBundle: ["merge", "\(models)/base.crayon", "\(models)/lora"]
            case .start:
                [
                    "init", "\(models)/base.crayon", "--method", "qpissa", "--rank", "8", "--iterations", "2",
                    "--source",
                    "\(models)/base",
                ]
            }
        }

        var output: String { self == .extract || self == .mergeCheckpoint ? "out" : "out.crayon" }
    }

    /// A base, what it was tuned to, the adapter between the two, and the base as a bundle.
    private static let models = Result {
        let folder = FileManager.default.temporaryDirectory.appending(path: "crayon-killed-\(getpid())").path
        atexit {
            let folder = FileManager.default.temporaryDirectory.appending(path: "crayon-killed-\(getpid())").path
            try? FileManager.default.removeItem(atPath: folder)
        }
        for (name, changes) in [("base", false), ("tuned", true)] {
            try RandomLlama.write(to: "\(folder)/\(name)", changesLayers: changes)
        }
        for words in [
            ["quantize", "\(folder)/base", "-o", "\(folder)/base.crayon", "--quiet"],
            ["adapter"] + Job.extract.words(in: folder) + ["-o", "\(folder)/lora", "--quiet"],
        ] {
            let made = try Command(words)
            try #require(made.status == 0, "\(made.errors)")
        }
        return folder
    }

    /// - Parameter records: how many are written before the run is killed.
    @Test(arguments: Job.allCases, [1, 7]) func goesOn(job: Job, records: Int) throws {
        let models = try Self.models.get()
        try withFolder { folder in
            let words = ["adapter"] + job.words(in: models) + ["--quiet", "--threads", "2"]
            // What nobody disturbed, made once. Reports name the output, so it has the same name.
            let whole = "\(models)/whole-\(job.rawValue)"
            if !FileManager.default.fileExists(atPath: whole) {
                try FileManager.default.createDirectory(atPath: whole, withIntermediateDirectories: true)
                let made = try Command(words + ["-o", "\(whole)/\(job.output)"])
                try #require(made.status == 0, "\(made.errors)")
            }
            let output = "\(folder)/\(job.output)"
            let resume = "\(folder)/.\(job.output).crayon-resume"

            // A record after each weight, however small, and no further than asked for.
            let process = try Command.start(
                words + ["-o", output, "--resume"],
                environment: ["CRAYON_RECORD_BYTES": "1", "CRAYON_PAUSE_AFTER": "\(records)"])
            // The first line is the job's fingerprint.
            let deadline = Date.now + 30
            while Self.lineCount("\(resume)/journal.jsonl") <= records, Date.now < deadline { usleep(1000) }
            kill(process, SIGKILL)
            var status: Int32 = 0
            try #require(waitpid(process, &status, 0) == process)
            #expect(status & 0x7f == SIGKILL, "the run was over before it could be killed")
            #expect(Self.files(output).isEmpty)
            #expect(Self.lineCount("\(resume)/journal.jsonl") == records + 1)

            let resumed = try Command(words + ["-o", output, "--resume"])
            #expect(resumed.status == 0, "\(resumed.errors)")
            #expect(Self.files(output) == Self.files("\(whole)/\(job.output)"))
            #expect(!Self.files(output).isEmpty)
            let left = try FileManager.default.contentsOfDirectory(atPath: folder)
            #expect(left == [job.output])
        }
    }

    private static func lineCount(_ path: String) -> Int {
        (FileManager.default.contents(atPath: path) ?? Data()).count { $0 == UInt8(ascii: "\n") }
    }

    /// The bytes of a file, or of each file of a folder.
    private static func files(_ path: String) -> [String: Data] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [""]
        return names.reduce(into: [:]) { files, name in
            files[name] = FileManager.default.contents(atPath: name.isEmpty ? path : "\(path)/\(name)")
        }
    }
}

/// A Llama checkpoint of random numbers, large enough that work on it takes a moment.
enum RandomLlama {
    private static let (hidden, intermediate, layers, vocabulary) = (192, 256, 4, 96)

    /// - Parameter changesLayers: linear layers differ a little from those of the checkpoint that is written without.
    static func write(to folder: String, changesLayers: Bool) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let config = """
            {"model_type": "llama", "hidden_size": \(hidden), "num_attention_heads": 4, "num_hidden_layers": \(layers),
             "intermediate_size": \(intermediate), "vocab_size": \(vocabulary), "tie_word_embeddings": true}
            """
        try Data(config.utf8).write(to: URL(filePath: "\(folder)/config.json"))
        var entries: [String] = []
        var data: [Float] = []
        var (numbers, changes) = (UInt64(1), UInt64(2))
        for (name, shape) in shapes {
            let start = 4 * data.count
            let isChanged = changesLayers && name.contains("_proj")
            for _ in 0..<shape.reduce(1, *) {
                let weight = next(&numbers) * 0.04
                data.append(isChanged ? weight + next(&changes) * 0.004 : weight)
            }
            let end = 4 * data.count
            entries.append(#""\#(name)":{"dtype":"F32","shape":\#(shape),"data_offsets":[\#(start),\#(end)]}"#)
        }
        let header = "{\(entries.joined(separator: ","))}"
        let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
        let bytes = data.withUnsafeBytes { Data($0) }
        try (length + Data(header.utf8) + bytes).write(to: URL(filePath: "\(folder)/model.safetensors"))
    }

    private static var shapes: [(String, [Int])] {
        var shapes: [(String, [Int])] = [
            ("model.embed_tokens.weight", [vocabulary, hidden]), ("model.norm.weight", [hidden]),
        ]
        for layer in (0..<layers).map({ "model.layers.\($0)" }) {
            for name in ["input_layernorm", "post_attention_layernorm"] {
                shapes.append(("\(layer).\(name).weight", [hidden]))
            }
            for module in ["q", "k", "v", "o"] {
                shapes.append(("\(layer).self_attn.\(module)_proj.weight", [hidden, hidden]))
            }
            for module in ["gate", "up"] {
                shapes.append(("\(layer).mlp.\(module)_proj.weight", [intermediate, hidden]))
            }
            shapes.append(("\(layer).mlp.down_proj.weight", [hidden, intermediate]))
        }
        return shapes
    }

    /// -0.5 to 0.5, by Knuth's linear congruential generator.
    private static func next(_ state: inout UInt64) -> Float {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(state >> 40) / Float(1 << 24) - 0.5
    }
}

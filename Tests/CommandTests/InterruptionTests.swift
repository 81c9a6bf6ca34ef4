import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A conversion that is stopped half way.
@Suite struct InterruptionTests {
    @Test(arguments: [SIGINT, SIGTERM]) func leavesNothing(signal: Int32) throws {
        try withFolder { folder in
            try HollowCheckpoint.write(to: "\(folder)/in")
            let process = try Command.start(["quantize", "\(folder)/in", "-o", "\(folder)/m.crayon", "--quiet"])
            // The temporary file stands beside the one to be.
            func partial() throws -> Bool {
                try FileManager.default.contentsOfDirectory(atPath: folder).contains { $0.contains("partial") }
            }
            let deadline = Date.now + 30
            while try !partial(), Date.now < deadline { usleep(500) }
            #expect(try partial())
            kill(process, signal)
            var status: Int32 = 0
            try #require(waitpid(process, &status, 0) == process)
            // Ended by the signal itself, which is what the low bits say.
            #expect(status & 0x7f == signal)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["in"])
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

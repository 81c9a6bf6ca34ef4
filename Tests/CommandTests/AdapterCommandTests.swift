import Foundation
import Testing

/// `crayon adapter merge`, `add`, `replace` and `remove`, as a shell sees them.
@Suite struct AdapterCommandTests {
    static let models = "\(Repository.root.path)/Tests/Fixtures/models"
    static let style = "\(models)/llama-lora/style"

    /// The text fixture as a 4-bit bundle with a set and recorded answers.
    private func bundle(in folder: String) throws -> String {
        let path = "\(folder)/base.crayon"
        let made = try Command(
            "quantize", "\(Self.models)/llama", "--adapter", "style=\(Self.style)", "--probe",
            "\(Self.models)/llama-lora/probe-0.safetensors", "-o", path, "--quiet")
        try #require(made.status == 0, "\(made.errors)")
        return path
    }

    @Test func merge() throws {
        try withFolder { folder in
            let base = try bundle(in: folder)
            let output = "\(folder)/out.crayon"
            let merged = try Command("adapter", "merge", base, ":style", "-o", output)
            #expect(merged.status == 0, "\(merged.errors)")
            #expect(merged.output.contains("model.layers.1.self_attn.q_proj") && merged.output.contains(output))
            #expect(!merged.errors.contains("recorded answers"))
            #expect(try Command("verify", output).status == 0)
            let json = try Command(
                "adapter", "merge", base, "\(Self.style)=0.5", "-o", "\(folder)/json.crayon", "--rounding", "plain",
                "--json")
            #expect((try json.json["layers"] as? [Any])?.count == 12)
            let refused = try Command(
                "adapter", "merge", base, "\(Self.style)=0.001", "-o", "\(folder)/no.crayon", "--rounding", "plain",
                "--fail-below", "0.9")
            #expect(refused.status == 2 && refused.errors.contains("of the delta retained"), "\(refused)")
            let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
            #expect(names == ["base.crayon", "json.crayon", "out.crayon"])
        }
    }

    @Test func sets() throws {
        try withFolder { folder in
            let base = try bundle(in: folder)
            func edit(_ words: String..., to output: String) throws -> Command {
                try Command(["adapter"] + words + ["-o", "\(folder)/\(output).crayon", "--json"])
            }
            let added = try edit("add", base, "tone=\(Self.style)", "idle=\(base):style", to: "added")
            #expect(try added.json["sets"] as? [String] == ["style", "tone", "idle"])
            #expect(added.errors.contains("recorded answers are left out"))
            let replaced = try edit("replace", "\(folder)/added.crayon", "tone=\(base):style", to: "replaced")
            #expect((try replaced.json["sets"] as? [String])?.sorted() == ["idle", "style", "tone"])
            let removed = try edit("remove", "\(folder)/replaced.crayon", "tone", "idle", to: "removed")
            #expect(try removed.json["sets"] as? [String] == ["style"])
            #expect(try Command("verify", "\(folder)/removed.crayon").status == 0)
            for (words, text) in [
                (["add", base, "style=\(Self.style)"], "a set of that name"), (["add", base, "style"], "NAME=ADAPTER"),
                (["remove", base, "vl"], "one of 'style'"),
                (["replace", base, "vl=\(Self.style)"], "one of 'style'"),
            ] {
                let refused = try Command(["adapter"] + words + ["-o", "\(folder)/no.crayon"])
                #expect(refused.status == 2 && refused.errors.contains(text), "\(refused)")
                #expect(!FileManager.default.fileExists(atPath: "\(folder)/no.crayon"))
            }
        }
    }
}

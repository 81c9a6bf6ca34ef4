import Foundation
import Testing

/// What `--json` prints: keys that programs rely on.
@Suite struct JSONOutputTests {
    @Test func verify() throws {
        let probe = Repository.probes[0]
        let found = try Command(
            "verify", SampleBundle.path.get(), "--probe", probe, "--source", Repository.checkpoint, "--tolerance",
            "0.2",
            "--json")
        #expect(found.status == 0 && found.errors.isEmpty)
        let report = try found.json
        #expect(report["passed"] as? Bool == true)
        for key in ["structure", "digests", "numbers", "source"] {
            #expect((report[key] as? [String: Any])?["passed"] as? Bool == true, "\(key)")
        }
        let probes = try #require(report["probes"] as? [[String: Any]])
        // Three that the bundle carries, and the file.
        #expect(probes.map { $0["name"] as? String } == ["000-class", "000-presence", "002-box", probe])
        for finding in probes {
            for key in ["relative_error", "max_abs_error", "top1_agreement", "kl_mean", "tolerance"] {
                #expect(finding[key] is Double, "\(key)")
            }
            #expect(finding["passed"] as? Bool == true)
        }
        #expect(probes[3]["perplexity"] is Double && probes[3]["reference_perplexity"] is Double)
        let tensors = try #require((report["source"] as? [String: Any])?["tensors"] as? [[String: Any]])
        #expect(tensors.count == 203)
        for key in ["name", "coding", "relative_error", "cosine", "worst_block", "passed"] {
            #expect(tensors.allSatisfy { $0[key] != nil }, "\(key)")
        }

        let strict = try Command("verify", SampleBundle.path.get(), "--probe", probe, "--json")
        #expect(strict.status == 1)
        #expect(try strict.json["passed"] as? Bool == false)
        #expect(
            (try strict.json["probes"] as? [[String: Any]])?.map { $0["passed"] as? Bool } == [true, true, true, false])
    }

    @Test func quantizeAndInspect() throws {
        try withFolder { folder in
            let made = try Command(
                "quantize", Repository.checkpoint, "-o", "\(folder)/m.crayon", "--precision", "head=int8", "--json")
            #expect(made.status == 0 && made.errors.isEmpty)
            let result = try made.json
            #expect(result["output"] as? String == "\(folder)/m.crayon")
            let size = try FileManager.default.attributesOfItem(atPath: "\(folder)/m.crayon")[.size] as? Int
            #expect(result["bytes"] as? Int == size)
            for key in ["seconds", "source_bytes", "peak_anonymous_bytes", "sections", "probes"] {
                #expect(result[key] != nil, "\(key)")
            }
            let seen = try Command("inspect", "\(folder)/m.crayon", "--json")
            #expect(seen.status == 0 && seen.errors.isEmpty)
            let parts = try #require(try seen.json["parts"] as? [[String: Any]])
            let head = try #require(parts.first { $0["name"] as? String == "head" })
            #expect(head["formats"] as? [String] == ["INT8"])
        }
    }

    @Test func run() throws {
        let found = try Command(
            ["run", try SampleBundle.path.get()] + Repository.picture
                + ["--json", "What is in the box [0.25, 0.25, 0.50, 0.50]?"])
        #expect(found.status == 0 && found.errors.isEmpty)
        let answer = try found.json
        #expect(answer["answer"] as? String == "green circle")
        #expect(answer["finish_reason"] as? String == "stop-text")
        #expect((answer["tokens"] as? [Int])?.isEmpty == false)
    }
}

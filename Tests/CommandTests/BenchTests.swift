import Foundation
import Testing

/// `crayon bench` and `crayon-bench`: what they print and count, never how fast.
@Suite struct BenchTests {
    private static let small = ["--prompt", "16", "--generate", "8", "--repetitions", "3", "--threads", "2"]

    /// `crayon bench` of the sample as JSON, with the counting library in it where the test asks for it.
    private func bench(_ more: [String], counts: Bool = false) throws -> [String: Any] {
        let process = Command.process(["bench", try SampleBundle.path.get()] + Self.small + ["--json"] + more)
        if counts {
            let library = URL(filePath: Command.path).deletingLastPathComponent().appending(path: "libCCounts.so").path
            try #require(FileManager.default.fileExists(atPath: library))
            process.environment?["LD_PRELOAD"] = library
        }
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    @Test func reportsEveryTest() throws {
        let report = try bench([])
        for key in [
            "model", "kind", "bytes", "parameters", "threads", "kernels", "weight_bytes_per_token", "read_bandwidth",
        ] {
            #expect(report[key] != nil, "\(key)")
        }
        #expect(report["kind"] as? String == "collavo NF4")
        #expect(report["threads"] as? Int == 2)
        let tests = try #require(report["tests"] as? [[String: Any]])
        #expect(tests.map { $0["name"] as? String } == ["pp16", "tg8"])
        #expect(tests.map { $0["tokens"] as? Int } == [16, 8])
        #expect(tests.allSatisfy { ($0["seconds"] as? [Double])?.count == 3 })
        #expect(tests.allSatisfy { $0["tokens_per_second"] is Double && $0["deviation"] is Double })
        #expect(tests[0]["share_of_bandwidth"] == nil && tests[1]["share_of_bandwidth"] is Double)
        // Nobody counted.
        #expect(tests.allSatisfy { $0["allocated_bytes"] == nil })
    }

    @Test func printsATable() throws {
        let found = try Command(["bench", SampleBundle.path.get(), "--quiet"] + Self.small + ["--prompt", "0"])
        #expect(found.status == 0 && found.errors.isEmpty)
        let lines = found.output.split(separator: "\n")
        #expect(lines.count == 3 && lines[0].contains("t/s") && lines[2].contains("tg8"))
    }

    @Test func refusesNothingToDo() throws {
        let found = try Command("bench", "model.crayon", "--prompt", "0", "--generate", "0")
        #expect(found.status == 2 && found.errors.contains("nothing to time"))
    }

    /// `crayon-bench` with these words: its status, what it prints, what it says on standard error.
    private func crayonBench(_ arguments: [String]) throws -> (status: Int32, output: String, errors: String) {
        let process = Process()
        process.executableURL = URL(filePath: Command.path).deletingLastPathComponent().appending(path: "crayon-bench")
        process.arguments = arguments
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        // Little enough for the pipe of errors.
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, text, said)
    }

    @Test func benchmarksAreNamedOrRefused() throws {
        let unknown = try crayonBench(["--only", "fast"])
        #expect(unknown.status == 2 && unknown.output.isEmpty && unknown.errors.contains("quantize-nf4"))
        let none = try crayonBench(["--layers", "0"])
        #expect(none.status == 2 && none.errors.contains("--layers 0"))
    }

    /// One kernel, whole: ceilings twice, figures on all threads and on one.
    @Test func aBenchmarkAsJSON() throws {
        let words = ["--only", "adamw", "--quick", "--threads", "2", "--json", "-"]
        let found = try crayonBench(words)
        #expect(found.status == 0)
        let report = try #require(JSONSerialization.jsonObject(with: Data(found.output.utf8)) as? [String: Any])
        for key in ["machine", "threads", "ceilings", "load_at_end"] { #expect(report[key] != nil, "\(key)") }
        #expect((report["measured_ceilings"] as? [Any])?.count == 2)
        let results = try #require(report["results"] as? [[String: Any]])
        #expect(results.map { $0["name"] as? String } == ["adamw"])
        for part in ["all", "one"] {
            let figures = try #require(results[0][part] as? [String: Any])
            #expect(figures["threads"] as? Int == (part == "all" ? 2 : 1))
            for key in ["runs", "median_seconds", "lowest_seconds", "highest_seconds", "rate", "share_of_floor"] {
                #expect(figures[key] is NSNumber, "\(part) \(key)")
            }
        }
    }

    @Test func benchmarksAreListed() throws {
        let (status, text, _) = try crayonBench(["--list", "--only", "jobs"])
        #expect(status == 0)
        for name in ["tg32", "pp512", "pp1300", "clip", "open", "ready", "quantize-file"] {
            #expect(text.contains("\n\(name) "), "\(name)")
        }
    }

    #if os(Linux)
        /// From the second step on the model asks nothing of the allocator, as much for the last token as for the first, whatever
        /// keys and values are kept in; and its threads are there.
        @Test(arguments: [(8, 2, "int16"), (48, 2, "int16"), (48, 1, "int16"), (24, 5, "int16"), (24, 3, "float32")])
        func decodingAllocatesNothingAndStartsNoThreads(tokens: Int, threads: Int, arithmetic: String) throws {
            let more = [
                "--prompt", "0", "--generate", "\(tokens)", "--repetitions", "3", "--threads", "\(threads)",
                "--arithmetic", arithmetic,
            ]
            let tests = try #require(try bench(more, counts: true)["tests"] as? [[String: Any]])
            #expect(tests[0]["allocated_bytes"] as? Int == 0)
            #expect(tests[0]["started_threads"] as? Int == 0)
        }
    #endif
}

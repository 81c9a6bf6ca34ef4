#if os(Linux)
    import Foundation
    import Testing

    /// What an answer's tokens ask of the allocator beside the model's steps, which ask nothing (`BenchTests`): text.
    @Suite struct AnswerAllocationTests {
        /// Allocations of `crayon run` in all, for an answer that is cut after so many tokens.
        private func allocations(tokens: Int) throws -> Int {
            let library = URL(filePath: Command.path).deletingLastPathComponent().appending(path: "libCCounts.so").path
            try #require(FileManager.default.fileExists(atPath: library))
            let report = FileManager.default.temporaryDirectory.appending(path: "crayon-counts-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: report) }
            let process = Command.process(
                ["run", try SampleBundle.path.get(), "--max-tokens", "\(tokens)", "--threads", "1", "--quiet"]
                    + Repository.picture + ["Which objects are in this image?"])
            process.environment?["LD_PRELOAD"] = library
            process.environment?["CCOUNTS_REPORT"] = report.path
            process.standardOutput = Pipe()
            try process.run()
            process.waitUntilExit()
            #expect(process.terminationStatus == 0)
            let counts = try String(contentsOf: report, encoding: .utf8).split(separator: " ")
            return try #require(Int(counts[1]))
        }

        /// A token's text, the answer's so far, and what is written to standard output: 6 allocations today, most of them of
        /// about 40 bytes. The number may only fall.
        private static let perToken = 6.5

        @Test func textIsAllThatIsAllocated() throws {
            let (short, long) = (try allocations(tokens: 12), try allocations(tokens: 60))
            #expect(Double(long - short) / 48 <= Self.perToken, "\(Double(long - short) / 48)")
        }
    }
#endif

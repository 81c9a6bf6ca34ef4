import Foundation
import Testing

/// Disks that are full, outputs that nobody takes, files that are in the way: errors that name them, and nothing lost.
/// `Scripts/crashes --environment` has those that need a mount.
@Suite struct EnvironmentTests {
    /// Runs the command in a shell: `$0` is the command, `$@` its words.
    private func shell(_ line: String, _ words: [String]) throws -> (status: Int32, errors: String) {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-c", line, Command.path] + words
        let errors = Pipe()
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationReason == .exit ? process.terminationStatus : -1, said)
    }

    private func files(_ folder: String) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: folder).sorted()
    }

    /// A file that may not grow fails as a full disk does, at a byte that the limit chooses.
    @Test(arguments: ["quantize", "merge", "export", "repair"], [1, 100, 1000])
    func noRoom(job: String, blocks: Int) throws {
        let bundle = try SampleBundle.path.get()
        let jobs = [
            "quantize": ["quantize", Repository.checkpoint], "export": ["export", bundle],
            "repair": ["repair", bundle],
            "merge": ["adapter", "merge", bundle, "\(Repository.sample)/adapter"],
        ]
        let output = job == "export" ? "out" : "out.crayon"
        try withFolder { folder in
            let words = try #require(jobs[job]) + ["-o", "\(folder)/\(output)", "--quiet"]
            let found = try shell("ulimit -f \(blocks); exec \"$0\" \"$@\"", words)
            #expect(found.status == 2, "\(found)")
            #expect(found.errors.contains("\(folder)/") && found.errors.contains("File too large"), "\(found.errors)")
            let left = try files(folder)
            #expect(!left.contains { $0.contains("crayon-partial") || $0 == output }, "\(left)")
        }
    }

    @Test func standardStreams() throws {
        let bundle = try SampleBundle.path.get()
        try withFolder { folder in
            let output = "\(folder)/m.crayon"
            let words = ["quantize", Repository.checkpoint, "-o", output]
            let whole = try {
                #expect(try Command(words).status == 0)
                return try Data(contentsOf: URL(filePath: output))
            }()
            for (line, status, part) in [
                ("exec \"$0\" \"$@\" > /dev/full", 2, "standard output: No space left"),
                ("exec \"$0\" \"$@\" >&-", 2, "standard output: Bad file descriptor"),
                ("exec \"$0\" \"$@\" <&- >&- 2>&-", 2, ""),
                ("exec \"$0\" \"$@\" 2> /dev/full", 0, ""),
                ("{ \"$0\" \"$@\"; echo status=$? >&2; } | :", 0, "status=0"),
            ] as [(String, Int32, String)] {
                try FileManager.default.removeItem(atPath: output)
                let found = try shell(line, words)
                #expect(found.status == status && (part.isEmpty || found.errors.contains(part)), "\(line): \(found)")
                // The work is done, and none of the words are in it.
                #expect(try Data(contentsOf: URL(filePath: output)) == whole, "\(line)")
                #expect(try files(folder) == ["m.crayon"])
            }
            let report = try shell("exec \"$0\" \"$@\" > /dev/full", ["inspect", bundle])
            #expect(report.status == 2 && report.errors.contains("standard output"), "\(report)")
        }
    }

    @Test func inputsAreNotReplaced() throws {
        try withFolder { folder in
            try FileManager.default.copyItem(atPath: Repository.checkpoint, toPath: "\(folder)/in")
            let weights = try #require(files("\(folder)/in").first { $0.hasSuffix(".safetensors") })
            let path = "\(folder)/in/\(weights)"
            let before = try Data(contentsOf: URL(filePath: path))
            try FileManager.default.linkItem(atPath: path, toPath: "\(folder)/link")
            for output in [path, "\(folder)/link", "\(folder)/in/../in/\(weights)"] {
                let found = try Command("quantize", "\(folder)/in", "-o", output, "--quiet")
                #expect(found.status == 2 && found.errors.contains("a file that is read for it"), "\(found)")
            }
            #expect(try Data(contentsOf: URL(filePath: path)) == before)
        }
    }

    @Test func twoRunsOfOneOutput() throws {
        try withFolder { folder in
            let words = ["quantize", Repository.checkpoint, "-o", "\(folder)/m.crayon", "--quiet"]
            let runs = (0..<2).map { _ in Command.process(words) }
            for run in runs { try run.run() }
            for run in runs {
                run.waitUntilExit()
                #expect(run.terminationStatus == 0)
            }
            #expect(try Command("verify", "\(folder)/m.crayon").status == 0)
            #expect(try files(folder) == ["m.crayon"])
        }
    }
}

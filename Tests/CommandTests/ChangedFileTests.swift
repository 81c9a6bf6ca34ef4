import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Files that become shorter, or others, while the command reads them: an error that names them, and nothing left behind.
@Suite struct ChangedFileTests {
    private func wait(for process: pid_t) throws -> Int32 {
        var status: Int32 = 0
        try #require(waitpid(process, &status, 0) == process)
        return status
    }

    /// Until the temporary file stands beside the one to be.
    private func waitForPartial(in folder: String) throws {
        let deadline = Date.now + 30
        while Date.now < deadline {
            let names = try FileManager.default.contentsOfDirectory(atPath: folder)
            if names.contains(where: { $0.contains("partial") }) { return }
            usleep(500)
        }
        Issue.record("no temporary file")
    }

    /// Reads a whole line, after which the command waits for the next question.
    private func line(of output: Pipe) -> Bool {
        while true {
            let data = output.fileHandleForReading.availableData
            if data.isEmpty || data.contains(10) { return !data.isEmpty }
        }
    }

    @Test func aSourceThatIsCutDuringAConversion() throws {
        try withFolder { folder in
            let source = "\(folder)/in/model.safetensors"
            try HollowCheckpoint.write(to: "\(folder)/in")
            let process = try Command.start(
                ["quantize", "\(folder)/in", "-o", "\(folder)/m.crayon", "--quiet"], errors: "\(folder)/errors")
            try waitForPartial(in: folder)
            #expect(truncate(source, 1 << 20) == 0)
            let status = try wait(for: process)
            let errors = try String(contentsOfFile: "\(folder)/errors", encoding: .utf8)
            #expect(status & 0x7f == 0 && status >> 8 == 2, "status \(status): \(errors)")
            #expect(errors.contains(source) && errors.contains("the file became shorter"), "\(errors)")
            #expect(try Set(FileManager.default.contentsOfDirectory(atPath: folder)) == ["in", "errors"])
        }
    }

    @Test func aBundleThatIsCutDuringARun() throws {
        try withFolder { folder in
            let bundle = "\(folder)/m.crayon"
            try FileManager.default.copyItem(atPath: SampleBundle.path.get(), toPath: bundle)
            let process = Command.process(["run", bundle, "--quiet", "--max-tokens", "4"])
            let (input, output, errors) = (Pipe(), Pipe(), Pipe())
            (process.standardInput, process.standardOutput, process.standardError) = (input, output, errors)
            try process.run()
            // One answer, so that the model is open; then the weights go.
            try input.fileHandleForWriting.write(contentsOf: Data("Is there a red square in this image?\n".utf8))
            #expect(line(of: output))
            #expect(truncate(bundle, 1 << 12) == 0)
            try input.fileHandleForWriting.write(contentsOf: Data("Is there a blue circle in this image?\n".utf8))
            try input.fileHandleForWriting.close()
            let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationReason == .exit && process.terminationStatus == 2, "\(said)")
            #expect(said.contains("\(bundle): the file became shorter"), "\(said)")
        }
    }

    /// Numbers that become NaN, infinite and huge under a model that is open: an error, and no crash on the way to it.
    @Test(arguments: [[], ["--arithmetic", "float32"], ["--temperature", "0.7", "--seed", "3"]])
    func aBundleThatIsOverwrittenDuringARun(options: [String]) throws {
        try withFolder { folder in
            let bundle = "\(folder)/m.crayon"
            try FileManager.default.copyItem(atPath: SampleBundle.path.get(), toPath: bundle)
            let whole = try Data(contentsOf: URL(filePath: bundle))
            let header = whole.prefix(8).enumerated().reduce(8) { $0 + Int($1.element) << (8 * $1.offset) }
            let process = Command.process(["run", bundle, "--quiet", "--max-tokens", "4"] + options)
            let (input, output, errors) = (Pipe(), Pipe(), Pipe())
            (process.standardInput, process.standardOutput, process.standardError) = (input, output, errors)
            try process.run()
            try input.fileHandleForWriting.write(contentsOf: Data("Is there a red square in this image?\n".utf8))
            #expect(line(of: output))
            let file = try #require(FileHandle(forWritingAtPath: bundle))
            try file.seek(toOffset: UInt64(header))
            try file.write(contentsOf: Data(repeating: 0xFF, count: whole.count - header))
            try file.close()
            try input.fileHandleForWriting.write(contentsOf: Data("Is there a blue circle in this image?\n".utf8))
            try input.fileHandleForWriting.close()
            let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationReason == .exit && process.terminationStatus == 2, "\(said)")
            #expect(said.contains("\(bundle): the file changed while it was being read"), "\(said)")
        }
    }

    /// One bit of one weight: nobody would see it in the answers.
    @Test func anAnswerFromAnotherFileIsNone() throws {
        try withFolder { folder in
            let bundle = "\(folder)/m.crayon"
            try FileManager.default.copyItem(atPath: SampleBundle.path.get(), toPath: bundle)
            let process = try Command.start(
                ["run", bundle, "--questions", "\(Repository.sample)/scenes/questions.json", "--quiet"],
                errors: "\(folder)/errors")
            usleep(300_000)
            let file = try #require(FileHandle(forUpdatingAtPath: bundle))
            let end = try file.seekToEnd()
            try file.seek(toOffset: end - 1)
            let byte = try #require(file.read(upToCount: 1)?.first)
            try file.seek(toOffset: end - 1)
            try file.write(contentsOf: Data([byte ^ 1]))
            try file.close()
            let status = try wait(for: process)
            let errors = try String(contentsOfFile: "\(folder)/errors", encoding: .utf8)
            #expect(status & 0x7f == 0 && status >> 8 == 2, "status \(status): \(errors)")
            #expect(errors.contains("\(bundle): the file changed while it was being read"), "\(errors)")
        }
    }

    @Test func aSourceThatIsOverwrittenDuringAConversion() throws {
        try withFolder { folder in
            let source = "\(folder)/in/model.safetensors"
            try HollowCheckpoint.write(to: "\(folder)/in")
            let process = try Command.start(
                ["quantize", "\(folder)/in", "-o", "\(folder)/m.crayon", "--quiet"], errors: "\(folder)/errors")
            try waitForPartial(in: folder)
            let file = try #require(FileHandle(forWritingAtPath: source))
            try file.seek(toOffset: 1 << 20)
            try file.write(contentsOf: Data([0]))
            try file.close()
            let status = try wait(for: process)
            let errors = try String(contentsOfFile: "\(folder)/errors", encoding: .utf8)
            #expect(status & 0x7f == 0 && status >> 8 == 2, "status \(status): \(errors)")
            // Said by whoever notices first, the reader or the thread that takes the digests.
            #expect(errors.contains("\(source): the file changed while it was being read"), "\(errors)")
            #expect(try Set(FileManager.default.contentsOfDirectory(atPath: folder)) == ["in", "errors"])
        }
    }

    /// What is no mapped file's is none of ours: the process dies of it as it did. Swift's own handler, which prints a
    /// backtrace and is meant for faults, would go on after a signal that was sent.
    @Test func aSignalFromElsewhereKills() throws {
        try withFolder { folder in
            try HollowCheckpoint.write(to: "\(folder)/in")
            let process = try Command.start(
                ["quantize", "\(folder)/in", "-o", "\(folder)/m.crayon", "--quiet"],
                environment: ["SWIFT_BACKTRACE": "enable=no"])
            try waitForPartial(in: folder)
            kill(process, SIGBUS)
            #expect(try wait(for: process) & 0x7f == SIGBUS)
        }
    }
}

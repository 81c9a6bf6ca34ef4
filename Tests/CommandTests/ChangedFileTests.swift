import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Files that become shorter while the command reads them: an error that names them, and nothing left behind.
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
            #expect(!output.fileHandleForReading.availableData.isEmpty)
            #expect(truncate(bundle, 1 << 12) == 0)
            try input.fileHandleForWriting.write(contentsOf: Data("Is there a blue circle in this image?\n".utf8))
            try input.fileHandleForWriting.close()
            let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationReason == .exit && process.terminationStatus == 2, "\(said)")
            #expect(said.contains("\(bundle): the file became shorter"), "\(said)")
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

import Foundation
import Testing

/// What is seen of a job on its way, on a terminal and elsewhere.
@Suite struct ProgressTests {
    /// Whether `script` is there, which gives a command a terminal (Debian always has it).
    static let hasTerminal = FileManager.default.isExecutableFile(atPath: "/usr/bin/script")

    /// What a command writes to a terminal on standard error.
    private func onTerminal(_ arguments: [String]) throws -> String {
        let words = ([Command.path] + arguments).map { "'\($0)'" }.joined(separator: " ")
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/script")
        process.arguments = ["--quiet", "--return", "--command", "\(words) >/dev/null", "/dev/null"]
        let output = Pipe()
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "\(text)")
        return text
    }

    private static func isBar(_ line: String) -> Bool {
        let bar = #/\[[#-]{24}\] +\d+ %  [\d.]+ k?M?B of 5\.60 MB  [\d.]+ [kMG]?B/s  (\d+ s|—) left  \S+ */#
        return line.wholeMatch(of: bar) != nil
    }

    /// Share, bytes, rate, time left and the tensor, redrawn on one line.
    @Test(.enabled(if: hasTerminal)) func aBarOnATerminal() throws {
        try withFolder { folder in
            let text = try onTerminal(["quantize", Repository.checkpoint, "-o", "\(folder)/m.crayon"])
            let lines = text.split { $0.isNewline }.map(String.init).filter { $0.hasPrefix("[") }
            #expect(lines.contains(where: Self.isBar), "\(text)")
            let full = "[" + String(repeating: "#", count: 24) + "] 100 %  5.60 MB of 5.60 MB  "
            #expect(lines.contains { $0.hasPrefix(full) }, "\(text)")
            #expect(lines.allSatisfy { $0.count <= 120 })
        }
    }

    @Test(.enabled(if: hasTerminal), arguments: ["--quiet", "--json"]) func nothingWhenToldSo(_ option: String) throws {
        try withFolder { folder in
            let text = try onTerminal(["quantize", Repository.checkpoint, "-o", "\(folder)/m.crayon", option])
            #expect(text.isEmpty)
        }
    }

    /// A log gets plain lines, and none for what is done at once.
    @Test func noBarElsewhere() throws {
        try withFolder { folder in
            let found = try Command("quantize", Repository.checkpoint, "-o", "\(folder)/m.crayon")
            #expect(found.status == 0)
            #expect(!found.errors.contains("\r") && !found.errors.contains("[#"))
            #expect(found.output.contains(#/m\.crayon: [\d.]+ MB from 5\.60 MB of weights in [\d.]+ s/#))
        }
    }
}

import Foundation
import Testing

/// The help of every command, held by golden files. `CRAYON_RECORD_HELP=1 Scripts/test --filter HelpTests` records them anew.
@Suite struct HelpTests {
    static let folder = Repository.root.appending(path: "Tests/CommandTests/Fixtures/help")

    /// The commands that the help lists, those of a group after it: `adapter`, `adapter merge`.
    private func commands(of group: [String] = []) throws -> [[String]] {
        let parts = try Command(group + ["--help"]).output.split(separator: "SUBCOMMANDS:")
        guard parts.count > 1, let listed = parts.last else { return [] }
        return try listed.matches(of: #/(?m)^  ([a-z0-9-]+) /#).flatMap { match in
            let command = group + [String(match.1)]
            return [command] + (try commands(of: command))
        }
    }

    @Test func listTheCommands() throws {
        let names = try commands().map { $0.joined(separator: " ") }
        #expect(names.starts(with: ["quantize", "inspect", "verify", "repair", "run", "export"]))
        #expect(names.contains("adapter merge") && names.contains("adapter extract"))
    }

    @Test func areTheGoldenOnes() throws {
        let commands = try commands()
        for command in [[]] + commands {
            let found = try Command(command + ["--help"])
            #expect(found.status == 0 && found.errors.isEmpty)
            let file = Self.folder.appending(path: Self.fileName(command))
            if ProcessInfo.processInfo.environment["CRAYON_RECORD_HELP"] != nil {
                try Data(found.output.utf8).write(to: file)
            }
            #expect(try found.output == String(contentsOf: file, encoding: .utf8), "\(command)")
        }
        let recorded = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
        #expect(Set(recorded) == Set(([[]] + commands).map(Self.fileName)))
    }

    private static func fileName(_ command: [String]) -> String {
        command.isEmpty ? "crayon.txt" : command.joined(separator: "-") + ".txt"
    }

    /// Every command shows how it is called.
    @Test func everyCommandHasAnExample() throws {
        for command in try commands() {
            let name = command.joined(separator: " ")
            let text = try Command(command + ["--help"]).output
            let examples = try #require(text.split(separator: "Examples:").dropFirst().first, "\(name)")
            #expect(examples.contains("\n  crayon \(name) "), "\(name)")
        }
    }
}

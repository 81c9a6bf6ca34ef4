import Foundation
import Testing

/// The help of every command, held by golden files. `CRAYON_RECORD_HELP=1 Scripts/test --filter HelpTests` records them anew.
@Suite struct HelpTests {
    static let folder = Repository.root.appending(path: "Tests/CommandTests/Fixtures/help")

    /// The commands that the help lists.
    private func commands() throws -> [String] {
        let listed = try Command("--help").output.split(separator: "SUBCOMMANDS:").last ?? ""
        let names = listed.matches(of: #/(?m)^  ([a-z]+) /#).map { String($0.1) }
        #expect(names.starts(with: ["quantize", "inspect", "verify", "run", "export"]))
        return names
    }

    @Test func areTheGoldenOnes() throws {
        let commands = try commands()
        for command in ["crayon"] + commands {
            let found = try Command(command == "crayon" ? ["--help"] : [command, "--help"])
            #expect(found.status == 0 && found.errors.isEmpty)
            let file = Self.folder.appending(path: "\(command).txt")
            if ProcessInfo.processInfo.environment["CRAYON_RECORD_HELP"] != nil {
                try Data(found.output.utf8).write(to: file)
            }
            #expect(try found.output == String(contentsOf: file, encoding: .utf8), "\(command)")
        }
        let recorded = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
        #expect(Set(recorded) == Set((["crayon"] + commands).map { "\($0).txt" }))
    }

    /// Every command shows how it is called.
    @Test func everyCommandHasAnExample() throws {
        for name in try commands() {
            let text = try Command(name, "--help").output
            let examples = try #require(text.split(separator: "Examples:").dropFirst().first, "\(name)")
            #expect(examples.contains("\n  crayon \(name) "), "\(name)")
        }
    }
}

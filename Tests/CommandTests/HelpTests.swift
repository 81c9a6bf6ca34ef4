import Foundation
import Testing

/// The help of every command, held by golden files. `CRAYON_RECORD_HELP=1 Scripts/test --filter HelpTests` records them anew.
@Suite struct HelpTests {
    static let commands = ["", "quantize", "inspect", "verify", "run", "export", "synthesize"]

    @Test(arguments: commands) func isTheGoldenOne(_ command: String) throws {
        let found = try Command(command.isEmpty ? ["--help"] : [command, "--help"])
        #expect(found.status == 0 && found.errors.isEmpty)
        let name = command.isEmpty ? "crayon" : command
        let file = Repository.root.appending(path: "Tests/CommandTests/Fixtures/help/\(name).txt")
        if ProcessInfo.processInfo.environment["CRAYON_RECORD_HELP"] != nil {
            try Data(found.output.utf8).write(to: file)
        }
        #expect(try found.output == String(contentsOf: file, encoding: .utf8))
    }

    /// Every command is listed, and shows how it is called.
    @Test func everyCommandHasAnExample() throws {
        let listed = try Command("--help").output.split(separator: "SUBCOMMANDS:").last ?? ""
        let names = listed.matches(of: #/(?m)^  ([a-z]+) /#).map { String($0.1) }
        #expect(names == Array(Self.commands.dropFirst()))
        for name in names {
            let text = try Command(name, "--help").output
            let examples = try #require(text.split(separator: "Examples:").dropFirst().first, "\(name)")
            #expect(examples.contains("\n  crayon \(name) "), "\(name)")
        }
    }
}

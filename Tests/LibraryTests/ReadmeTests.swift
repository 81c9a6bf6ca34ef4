import CrayonKit
import Foundation
import Testing

/// The program that the README shows, run as it stands there.
@Suite struct ReadmeTests {
    @Test func programRuns() async throws {
        await #expect(processExitsWith: .success) {
            let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .deletingLastPathComponent()
            // A folder of its own, in which the repository's paths hold.
            let files = FileManager.default
            let folder = files.temporaryDirectory.appending(path: "crayon-\(UUID().uuidString)")
            try files.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? files.removeItem(at: folder) }
            try files.createSymbolicLink(
                at: folder.appending(path: "Scripts"), withDestinationURL: root.appending(path: "Scripts"))
            guard files.changeCurrentDirectoryPath(folder.path) else { exit(2) }

            // README
            let source = try CheckpointModel.open("Scripts/sample/checkpoint")
            let options = try BundleConversion.Options(
                plan: PrecisionPlan(.faithful), quantizer: NF4Quantizer(), int8Quantizer: Int8Quantizer())
            try BundleConversion(options: options).run(source, output: "sample.crayon")

            let bundle = try BundleReader(path: "sample.crayon")
            let report = try Verifier(options: .init(source: source)).run(path: "sample.crayon")
            print(report.passed)

            let scene = "Scripts/sample/scenes/000"
            let map = try PanopticMap(path: "\(scene)_panoptic.png", segments: "\(scene)_segments.json")
            let picture = try Picture(RGBImage(path: "\(scene).png"), panoptic: map, for: bundle.configuration)
            let chat = try ChatSession(source: bundle)
            let answer = try chat.ask("What is in the box [0.25, 0.25, 0.50, 0.50]?", pictures: [picture])
            print(answer.text)
            // README

            guard report.passed, answer.text == "green circle" else { exit(3) }
        }
    }

    @Test func readmeShowsIt() throws {
        let here = try String(contentsOfFile: #filePath, encoding: .utf8).components(separatedBy: "// README\n")
        let lines = try #require(here.dropFirst().first).split(separator: "\n", omittingEmptySubsequences: false)
        let program = lines.map { $0.trimmingCharacters(in: .whitespaces) }.joined(separator: "\n")
            .trimmingCharacters(in: .newlines)
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let readme = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.trimmingCharacters(in: .whitespaces) }.joined(separator: "\n")
        #expect(readme.contains(program))
    }
}

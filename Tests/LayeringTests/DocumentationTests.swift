import Foundation
import Testing

/// Pages that other pages and sources name are there, and say what the sources say.
@Suite struct DocumentationTests {
    static func text(_ path: String) throws -> String {
        try String(contentsOf: Layering.root.appending(path: path), encoding: .utf8)
    }

    @Test func namedPagesExist() throws {
        let formats = try FileManager.default.contentsOfDirectory(
            atPath: Layering.root.appending(path: "Formats").path
        ).filter { $0.hasSuffix(".md") }
        #expect(formats.count >= 10)
        var pages = formats.map { "Formats/\($0)" } + ["README.md"]
        let sources = try #require(
            FileManager.default.enumerator(atPath: Layering.root.appending(path: "Sources").path))
        for case let file as String in sources where file.hasSuffix(".swift") { pages.append("Sources/\(file)") }
        for page in pages {
            for match in try Self.text(page).replacing(/https?:\/\/\S+/, with: "").matches(
                of: /[A-Za-z][A-Za-z0-9\/-]*\.md/)
            {
                let name = String(match.0)
                let places = [name, "Formats/\(name)"].map { Layering.root.appending(path: $0).path }
                #expect(places.contains { FileManager.default.fileExists(atPath: $0) }, "\(page) names \(name)")
            }
        }
    }

    /// The README names every target, in the manifest's order, and every page of the formats.
    @Test func readmeNamesEveryTargetAndPage() throws {
        let readme = try Self.text("README.md")
        let layout = try #require(readme.split(separator: "\n## ").first { $0.hasPrefix("How the code is laid out") })
        let names = layout.matches(of: /`(\w+)`/).map { String($0.1) }
        let layers = try Layering.manifest().map(\.name)
        #expect(names.filter { layers.contains($0) } == layers)
        for page in try FileManager.default.contentsOfDirectory(
            atPath: Layering.root.appending(path: "Formats").path) where page.hasSuffix(".md")
        {
            #expect(readme.contains("Formats/\(page)"), "\(page)")
        }
    }
}

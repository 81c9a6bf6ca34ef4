import Foundation
import Testing

/// SwiftPM compiles an import of any module that happens to have been built, so the direction of imports is held here.
@Suite struct Layering {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// What the toolchain brings.
    static let platform: Set<String> = [
        "ArgumentParser", "Darwin", "Dispatch", "Foundation", "Glibc", "Synchronization",
    ]

    /// `layer("Name", ["A", "B"])` of the manifest, in its order.
    static func manifest() throws -> [(name: String, dependencies: Set<String>)] {
        let text = try String(contentsOf: root.appendingPathComponent("Package.swift"), encoding: .utf8)
        return text.matches(of: /layer\(\s*"(\w+)"(?:,\s*\[([^\]]*)\])?/).map { match in
            let list = match.2.map(String.init) ?? ""
            return (String(match.1), Set(list.matches(of: /"(\w+)"/).map { String($0.1) }))
        }
    }

    /// What the sources of a layer import, and where.
    static func imports(of layer: String) throws -> [(module: String, file: String)] {
        let folder = root.appendingPathComponent("Sources/\(layer)")
        let files = try #require(FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil))
        var found: [(String, String)] = []
        for case let file as URL in files where file.pathExtension == "swift" {
            let text = try String(contentsOf: file, encoding: .utf8)
            for match in text.matches(of: /(?m)^(?:@\w+ )?(?:public |internal |private |package )?import (\w+)/) {
                found.append((String(match.1), file.lastPathComponent))
            }
        }
        return found
    }

    @Test func importsAndDeclarationsAgree() throws {
        let layers = try Self.manifest()
        #expect(layers.count >= 16)
        for layer in layers {
            let imports = try Self.imports(of: layer.name).filter { !Self.platform.contains($0.module) }
            for (module, file) in imports where !layer.dependencies.contains(module) {
                Issue.record("\(layer.name)/\(file) imports \(module) without declaring it")
            }
            let unused = layer.dependencies.subtracting(imports.map(\.module))
            #expect(unused.isEmpty, "\(layer.name) declares what it does not import")
        }
    }

    @Test func dependenciesPointDown() throws {
        var seen: Set<String> = []
        let layers = try Self.manifest()
        let names = Set(layers.map(\.name))
        for layer in layers {
            for dependency in layer.dependencies where names.contains(dependency) {
                #expect(seen.contains(dependency), "\(layer.name) is listed above \(dependency), which it imports")
            }
            seen.insert(layer.name)
        }
    }
}

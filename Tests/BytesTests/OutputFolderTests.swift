import Bytes
import Foundation
import Testing

/// Folders that jobs write into.
@Suite struct OutputFolderTests {
    @Test func whatIsMadeAndEmptyGoes() throws {
        let root = try TemporaryFolder()
        do {
            let folder = try OutputFolder("\(root.path)/a/b/", makesParents: true)
            #expect(folder.path == "\(root.path)/a/b")
            try folder.make("c/d")
            #expect(FileManager.default.fileExists(atPath: "\(root.path)/a/b/c/d"))
        }
        #expect(root.entries.isEmpty)
    }

    @Test func whatHoldsSomethingStays() throws {
        let root = try TemporaryFolder()
        do {
            let folder = try OutputFolder("\(root.path)/a")
            try folder.make("empty")
            try AtomicFile.write([1], to: "\(root.path)/a/file")
        }
        #expect(root.entries == ["a"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(root.path)/a") == ["file"])
    }

    @Test func whatWasThereStays() throws {
        let root = try TemporaryFolder()
        try FileManager.default.createDirectory(atPath: "\(root.path)/a", withIntermediateDirectories: true)
        try OutputFolder("\(root.path)/a").removeIfEmpty()
        #expect(root.entries == ["a"])
    }

    /// The second one is told who is there, and takes nothing away.
    @Test func oneRunAtATime() throws {
        let root = try TemporaryFolder()
        let path = "\(root.path)/a"
        do {
            let first = try OutputFolder(path)
            let file = try AtomicFile(path: "\(path)/model.safetensors")
            let error = #expect(throws: CrayonError.self) { try OutputFolder(path) }
            #expect(error?.place == path)
            #expect(error?.found.contains("another run") == true && error?.found.contains("lock") == true)
            #expect(error?.found.contains(".model.safetensors.crayon-partial-\(getpid())-") == true)
            #expect(FileManager.default.fileExists(atPath: path))
            withExtendedLifetime((first, file)) {}
        }
        #expect(root.entries.isEmpty)
        _ = try OutputFolder(path)
        #expect(root.entries.isEmpty)
    }

    @Test func whatCannotBeMadeIsNamed() throws {
        let root = try TemporaryFolder()
        try AtomicFile.write([1], to: "\(root.path)/file")
        for (path, makesParents, named) in [
            ("\(root.path)/file", true, "\(root.path)/file"), ("\(root.path)/file/a", true, "\(root.path)/file/a"),
            ("\(root.path)/none/a", false, "\(root.path)/none/a"), ("/proc/none/a", true, "/proc/none"),
        ] {
            let error = #expect(throws: CrayonError.self) { try OutputFolder(path, makesParents: makesParents) }
            #expect(error?.place == named)
        }
        #expect(root.entries == ["file"])
    }
}

import Adapters
import Bytes
import Foundation
import JSON
import Testing

@Suite struct ResumeFolderTests {
    private let job = JSONObject(["job": "test", "input": "a"])

    private static func record(_ number: Int) -> JSONObject { JSONObject(["n": .int(number)]) }

    /// A run of two items that was interrupted; the folder's path.
    private func interrupted(_ output: String) throws -> String {
        let folder = try ResumeFolder(output: output, fingerprint: job, resumes: false)
        #expect(folder.finished.isEmpty && !folder.discardedEarlierRun)
        try AtomicFile.write([1, 2, 3], to: folder.file("kept"))
        try folder.finish("one", Self.record(1))
        try folder.finish("two", Self.record(2))
        #expect(folder.finished.keys.sorted() == ["one", "two"])
        return folder.path
    }

    @Test(arguments: ["out.crayon", "out/"]) func goesOn(name: String) throws {
        let place = try TemporaryFolder()
        let output = place.file(name)
        let path = try interrupted(output)
        #expect(path == place.file(".\(name.replacing("/", with: "")).crayon-resume"))
        let folder = try ResumeFolder(output: output, fingerprint: job, resumes: true)
        #expect(folder.finished == ["one": Self.record(1), "two": Self.record(2)] && !folder.discardedEarlierRun)
        #expect(try MappedFile(path: folder.file("kept")).whole.array == [1, 2, 3])
        folder.remove()
        #expect(try FileManager.default.contentsOfDirectory(atPath: place.path).isEmpty)
    }

    /// A line that was cut short is as good as none, and so is what follows one that cannot be read.
    @Test func tornLines() throws {
        let place = try TemporaryFolder()
        let output = place.file("out")
        let journal = try interrupted(output) + "/journal.jsonl"
        let whole = try MappedFile(path: journal).whole.array
        for cut in 1..<20 {
            try AtomicFile.write(whole.dropLast(cut), to: journal)
            var folder: ResumeFolder? = try ResumeFolder(output: output, fingerprint: job, resumes: true)
            #expect(folder?.finished == ["one": Self.record(1)], "\(cut)")
            try folder?.finish("three", Self.record(3))
            folder = nil
            folder = try ResumeFolder(output: output, fingerprint: job, resumes: true)
            #expect(folder?.finished == ["one": Self.record(1), "three": Self.record(3)], "\(cut)")
        }
        var damaged = whole
        damaged[try #require(whole.firstIndex(of: UInt8(ascii: "\n"))) + 1] = UInt8(ascii: "x")
        try AtomicFile.write(damaged, to: journal)
        #expect(try ResumeFolder(output: output, fingerprint: job, resumes: true).finished.isEmpty)
        // Not even the first line: nothing to go on with.
        try AtomicFile.write(Array(whole.prefix(5)), to: journal)
        #expect(try ResumeFolder(output: output, fingerprint: job, resumes: true).finished.isEmpty)
        #expect(!FileManager.default.fileExists(atPath: place.file(".out.crayon-resume/kept")))
    }

    @Test func otherInputsAreRefused() throws {
        let place = try TemporaryFolder()
        let output = place.file("out")
        _ = try interrupted(output)
        let error = crayonError {
            _ = try ResumeFolder(output: output, fingerprint: JSONObject(["job": "test", "input": "b"]), resumes: true)
        }
        #expect(error?.code == .mismatch && error?.found.contains("an interrupted run with other inputs") == true)
        #expect(error?.expected?.contains(#""input":"a""#) == true)
        // It is still there for those who give them again.
        #expect(try ResumeFolder(output: output, fingerprint: job, resumes: true).finished.count == 2)
    }

    @Test func leftoversGoUnlessAskedFor() throws {
        let place = try TemporaryFolder()
        let output = place.file("out")
        _ = try interrupted(output)
        let folder = try ResumeFolder(output: output, fingerprint: job, resumes: false)
        #expect(folder.discardedEarlierRun && folder.finished.isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["journal.jsonl"])
    }

    @Test(arguments: [true, false]) func oneRunAtATime(resumes: Bool) throws {
        let place = try TemporaryFolder()
        let output = place.file("out")
        let first = try ResumeFolder(output: output, fingerprint: job, resumes: false)
        try first.finish("one", Self.record(1))
        let error = crayonError { _ = try ResumeFolder(output: output, fingerprint: job, resumes: resumes) }
        #expect(error?.description.contains("another run that is writing it") == true)
        try first.finish("two", Self.record(2))
        #expect(first.finished.count == 2)
        first.remove()
    }
}

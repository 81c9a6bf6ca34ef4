import Bytes
import Foundation
import Testing

/// A folder that goes away with the test.
final class TemporaryFolder {
    let path: String
    init() throws {
        path = NSTemporaryDirectory() + "/crayon-bytes-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
    var entries: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] }
}

@Suite struct AtomicFiles {
    @Test func appearsWholeOnCommit() throws {
        let folder = try TemporaryFolder()
        let file = try AtomicFile(path: folder.path + "/a.bin")
        try file.write([4, 5], at: 3)
        try file.write([1, 2, 3], at: 0)
        #expect(folder.entries.allSatisfy { $0.hasPrefix(".") && $0.contains("crayon-partial") })
        try file.commit()
        #expect(folder.entries == ["a.bin"])
        #expect(try MappedFile(path: folder.path + "/a.bin").whole.array == [1, 2, 3, 4, 5])
    }

    /// A rename would take a device's or a pipe's place.
    @Test func pipesAndDevicesAreRefused() throws {
        let folder = try TemporaryFolder()
        let pipe = folder.path + "/pipe"
        #expect(mkfifo(pipe, 0o600) == 0)
        #expect(throws: CrayonError.self) { try AtomicFile(path: pipe) }
        #expect(throws: CrayonError.self) { try AtomicFile(path: "/dev/null") }
        #expect(folder.entries == ["pipe"])
    }

    @Test func leavesNothingWithoutCommit() throws {
        let folder = try TemporaryFolder()
        do {
            let file = try AtomicFile(path: folder.path + "/a.bin")
            try file.write([1], at: 0)
        }
        #expect(folder.entries.isEmpty)
    }

    @Test func keepsTheOldFileUntilCommit() throws {
        let folder = try TemporaryFolder()
        try AtomicFile.write([9], to: folder.path + "/a.bin")
        do {
            let file = try AtomicFile(path: folder.path + "/a.bin")
            try file.write([1, 2], at: 0)
            #expect(try MappedFile(path: folder.path + "/a.bin").whole.array == [9])
        }
        #expect(try MappedFile(path: folder.path + "/a.bin").whole.array == [9])
    }

    @Test func refusesWhatIsNoFile() throws {
        let folder = try TemporaryFolder()
        #expect(throws: CrayonError.self) { try AtomicFile(path: folder.path) }
        #expect(throws: CrayonError.self) { try AtomicFile(path: folder.path + "/missing/a.bin") }
        #expect(throws: CrayonError.self) { try AtomicFile(path: "") }
    }

    @Test func saysThatTheDiskIsFull() throws {
        // /dev/full stands in for a disk without space where there is one.
        guard FileManager.default.fileExists(atPath: "/dev/full") else { return }
        let error = CrayonError.system(ENOSPC, in: "out.crayon", while: "writing at byte 0")
        #expect(error.description.contains("No space left on device"))
        #expect(error.advice?.contains("Free some space") == true)
    }
}

@Suite struct MappedFiles {
    @Test func mapsAndSlices() throws {
        let folder = try TemporaryFolder()
        try AtomicFile.write(Array(0..<200), to: folder.path + "/a")
        let file = try MappedFile(path: folder.path + "/a")
        #expect(file.count == 200)
        let region = file.region(offset: 100, count: 50)
        #expect(region.array == Array(100..<150))
        #expect(region.slice(offset: 49, count: 1).array == [149])
        file.willNeed(offset: 0, count: 200)
        file.dontNeed(offset: 0, count: 200)
        #expect(file.whole.array == Array(0..<200))
        try file.checkUnchanged()
        try Data([1]).write(to: URL(fileURLWithPath: folder.path + "/a"))
        #expect(throws: MappedFile.hasChanged(file.path)) { try file.checkUnchanged() }
    }

    @Test func mapsAnEmptyFile() throws {
        let folder = try TemporaryFolder()
        try AtomicFile.write([], to: folder.path + "/empty")
        #expect(try MappedFile(path: folder.path + "/empty").whole.array == [])
    }

    @Test func refusesFoldersAndWhatIsNotThere() throws {
        let folder = try TemporaryFolder()
        #expect(throws: CrayonError.self) { try MappedFile(path: folder.path) }
        #expect(throws: CrayonError.self) { try MappedFile(path: folder.path + "/no") }
        #expect(throws: CrayonError.self) { try MappedFile(path: "/dev/null") }
    }

    @Test func aRegionOutlivesTheFileThatMadeIt() throws {
        let folder = try TemporaryFolder()
        try AtomicFile.write([7, 8, 9], to: folder.path + "/a")
        let region = try MappedFile(path: folder.path + "/a").region(offset: 1, count: 2)
        #expect(region.array == [8, 9])
    }
}

@Suite struct Digests {
    // FIPS 180-4 examples.
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ])
    func matchTheStandard(_ text: String, _ hex: String) throws {
        let digest = SHA256Digest.of(Array(text.utf8))
        #expect(digest.description == hex)
        #expect(try #require(SHA256Digest(hex: hex)) == digest)
        #expect(SHA256Digest(hex: hex.uppercased()) == nil || hex.uppercased() == hex)
        #expect(SHA256Digest(hex: String(hex.dropLast())) == nil)
    }

    @Test func piecesGiveTheSameDigest() {
        let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let hasher = SHA256Hasher()
        bytes.withUnsafeBytes { buffer in
            for start in stride(from: 0, to: buffer.count, by: 777) {
                hasher.update(UnsafeRawBufferPointer(rebasing: buffer[start..<min(start + 777, buffer.count)]))
            }
        }
        #expect(hasher.finish() == SHA256Digest.of(bytes))
    }
}

/// Files beside an output that tell a killed run's from those of one at work.
@Suite struct PartialFiles {
    @Test func leftoversGoAndOthersWorkStays() throws {
        let folder = try TemporaryFolder()
        // A killed run's file has no lock any more; another output's is none of ours.
        for name in [".a.bin.crayon-partial-77-1f", "..a.bin.crayon-partial-77-1f", ".b.bin.crayon-partial-77-1f"] {
            try Data([1]).write(to: URL(filePath: folder.path + "/" + name))
        }
        let descriptor = open(folder.path + "/.a.bin.crayon-partial-78-2e", O_RDWR | O_CREAT, 0o644)
        defer { close(descriptor) }
        #expect(flock(descriptor, LOCK_EX | LOCK_NB) == 0)
        try AtomicFile.write([1, 2], to: folder.path + "/a.bin")
        #expect(
            Set(folder.entries) == ["a.bin", ".b.bin.crayon-partial-77-1f", ".a.bin.crayon-partial-78-2e"],
            "\(folder.entries)")
    }

    @Test func twoWritersOfOneOutputDoNotMeet() throws {
        let folder = try TemporaryFolder()
        let first = try AtomicFile(path: folder.path + "/a.bin")
        let second = try AtomicFile(path: folder.path + "/a.bin")
        #expect(first.temporaryPath != second.temporaryPath)
        try first.write([1], at: 0)
        try second.write([2, 2], at: 0)
        try first.commit()
        #expect(try MappedFile(path: folder.path + "/a.bin").whole.array == [1])
        try second.commit()
        #expect(try MappedFile(path: folder.path + "/a.bin").whole.array == [2, 2])
        #expect(folder.entries == ["a.bin"])
    }
}

/// Files that become shorter while they are mapped.
@Suite struct MappingFaults {
    /// The operating system reads the page for us here, so no signal comes.
    @Test func aWriteFromAMappingThatIsGoneNamesItsFile() throws {
        let folder = try TemporaryFolder()
        try Data(count: 1 << 16).write(to: URL(filePath: folder.path + "/source"))
        let source = try MappedFile(path: folder.path + "/source")
        #expect(truncate(folder.path + "/source", 100) == 0)
        let file = try AtomicFile(path: folder.path + "/a.bin")
        let error = #expect(throws: CrayonError.self) { try file.write(source.whole.buffer, at: 0) }
        #expect(error?.place == folder.path + "/source")
        #expect(error?.found.contains("shorter") == true)
        #expect(throws: CrayonError.self) { try source.checkUnchanged() }
    }

    @Test func whatCanBeReadIs() throws {
        let folder = try TemporaryFolder()
        try Data([1, 2, 3]).write(to: URL(filePath: folder.path + "/a"))
        let file = try DamagedFile(path: folder.path + "/a")
        #expect(file.count == 3)
        #expect(file.bytes(at: 1, count: 4) == [2, 3, 0, 0])
        #expect(file.bytes(at: 9, count: 2) == [0, 0])
        #expect(throws: CrayonError.self) { _ = try DamagedFile(path: folder.path) }
    }
}

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A file that appears under its final name whole or not at all.
///
/// Bytes go to a temporary file in the same folder; `commit` syncs it, renames it over the final name
/// and syncs the folder. A value that is dropped without `commit` takes its temporary file with it, unless the
/// caller keeps that file in a place of its own so as to go on later.
public final class AtomicFile: @unchecked Sendable {
    // @unchecked: `write` is `pwrite` on disjoint ranges, which the kernel lets threads do at once.
    public let path: String
    /// `.NAME.crayon-partial-PID-NUMBER` (recognisable, hidden, and unlike any file that Crayon reads), or the caller's. What
    /// killed runs have left of the same output goes when a new file is begun.
    public let temporaryPath: String
    private let descriptor: Int32
    private let isKept: Bool
    /// Bytes that a kept file had already; zero for a new one.
    public let keptCount: Int
    private var isCommitted = false

    /// - Parameter kept: where the bytes go before `commit`, on the same file system. What is there already stays, and
    ///   nothing but `commit` takes the file away: not a signal, not the end of this value.
    /// - Throws: `CrayonError` when the folder does not exist or cannot be written.
    public init(path: String, keptAt kept: String? = nil) throws(CrayonError) {
        self.path = path
        isKept = kept != nil
        let folder = Folder.of(path)
        let name = path.split(separator: "/", omittingEmptySubsequences: true).last.map(String.init) ?? ""
        guard !name.isEmpty, name != ".", name != ".." else {
            throw CrayonError(.usage, in: path, found: "no file name", expected: "the path of a file to write")
        }
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            throw CrayonError(
                .usage, in: path, found: "a folder", expected: "the path of a file to write",
                advice: "Name a file in it.")
        }
        // Renaming over a device or a pipe would take it away, /dev/null from everybody on the machine.
        if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            throw CrayonError(
                .usage, in: path, found: "a device, pipe or socket", expected: "the path of a regular file to write",
                advice: "Name a file.")
        }
        if let kept {
            temporaryPath = kept
            descriptor = open(kept, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else { throw .system(errno, in: path, while: "creating '\(kept)'") }
            var found = stat()
            keptCount = fstat(descriptor, &found) == 0 ? Int(found.st_size) : 0
        } else {
            keptCount = 0
            (temporaryPath, descriptor) = try PartialFile.make(beside: path, folder: folder, name: name)
        }
    }

    deinit {
        close(descriptor)
        if !isCommitted, !isKept {
            unlink(temporaryPath)
            Interruption.forget(temporaryPath)
        }
    }

    /// Writes all of `bytes` at `offset`. Safe to call from several threads for disjoint ranges.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(CrayonError) {
        var done = 0
        while done < bytes.count {
            let written = pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
            if written < 0 {
                let code = errno
                if code == EINTR { continue }
                if code == EFAULT, let gone = MappingFault.error(readingAt: bytes.baseAddress! + done) { throw gone }
                throw .system(code, in: path, while: "writing at byte \(offset + done)")
            }
            done += written
        }
        if bytes.count >= Self.largeWrite { startWriting(at: offset, count: bytes.count) }
    }

    /// Bytes of a write that the disk should begin with at once.
    private static let largeWrite = 1 << 20

    /// Has the operating system begin to write a range to disk, and does not wait: work goes on meanwhile, and `commit` has
    /// little left to wait for.
    private func startWriting(at offset: Int, count: Int) {
        #if os(Linux)
            // What Linux does first with pages that are not needed: it begins to write those that are dirty. They stay.
            posix_fadvise(descriptor, off_t(offset), off_t(count), POSIX_FADV_DONTNEED)
        #endif
    }

    public func write(_ bytes: [UInt8], at offset: Int) throws(CrayonError) {
        do {
            try bytes.withUnsafeBytes { try write($0, at: offset) }
        } catch let error as CrayonError {
            throw error
        } catch {
            throw CrayonError(.io, in: path, found: "\(error)")
        }
    }

    /// Makes the file so many bytes long: cut, or with zeros at its end.
    public func setCount(_ count: Int) throws(CrayonError) {
        guard ftruncate(descriptor, off_t(count)) == 0 else {
            throw .system(errno, in: path, while: "setting the size")
        }
    }

    /// Waits until everything written so far is on disk, so that `commit` has little left to wait for.
    /// For a thread that does nothing but write.
    /// - Throws: `CrayonError` for a disk that fails, which the operating system says once: `commit` would not hear of it.
    public func flush() throws(CrayonError) {
        guard fdatasync(descriptor) == 0 else { throw .system(errno, in: path, while: "syncing to disk") }
    }

    /// Reads back what was written, for digests of ranges that were filled out of order.
    public func read(into bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws(CrayonError) {
        var done = 0
        while done < bytes.count {
            let got = pread(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
            if got < 0 {
                if errno == EINTR { continue }
                throw .system(errno, in: path, while: "reading back at byte \(offset + done)")
            }
            if got == 0 {
                throw CrayonError(.io, in: path, found: "end of file at byte \(offset + done) while reading back")
            }
            done += got
        }
    }

    /// Makes the file durable and visible under its final name.
    public func commit() throws(CrayonError) {
        precondition(!isCommitted)
        guard fsync(descriptor) == 0 else { throw .system(errno, in: path, while: "syncing to disk") }
        guard rename(temporaryPath, path) == 0 else { throw .system(errno, in: path, while: "renaming into place") }
        isCommitted = true
        Interruption.forget(temporaryPath)
        let folder = open(Folder.of(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if folder >= 0 {
            // Some file systems refuse to sync a folder; the rename itself has succeeded.
            fsync(folder)
            close(folder)
        }
    }

    /// Takes away the temporary files of everything that is not committed, before a program ends for another reason.
    public static func removeUnfinished() { Interruption.removeFiles() }

    /// That an output is none of a job's inputs, under any of its names: replaced, that would be lost.
    /// - Throws: `CrayonError` when it is.
    public static func refuse(_ output: String, among inputs: some Sequence<String>) throws(CrayonError) {
        var mine = stat()
        guard stat(output, &mine) == 0 else { return }
        for input in inputs {
            var theirs = stat()
            guard stat(input, &theirs) == 0, (theirs.st_dev, theirs.st_ino) == (mine.st_dev, mine.st_ino) else {
                continue
            }
            throw CrayonError(
                .usage, in: output, found: "a file that is read for it (\(input))", expected: "another file",
                advice: "Name another one: that file would be lost.")
        }
    }

    /// Writes a whole small file atomically.
    public static func write(_ bytes: [UInt8], to path: String) throws(CrayonError) {
        let file = try AtomicFile(path: path)
        try file.write(bytes, at: 0)
        try file.commit()
    }
}

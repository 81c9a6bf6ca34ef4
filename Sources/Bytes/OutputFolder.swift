import Foundation
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A folder that a job writes files into: made where it is not there, and no other run's meanwhile.
///
/// It is locked (`flock`, on the folder itself) for as long as this value lives; a file system without locks has none. What was made of
/// it, with the folders above and in it, goes again when nothing has come into it: with `removeIfEmpty`, with this value, and with a
/// signal.
public final class OutputFolder: Sendable {
    /// Without a slash at its end.
    public let path: String
    private let descriptor: Int32
    /// Folders that were not there before, outer ones first.
    private let created: Mutex<[String]>

    /// - Parameter makesParents: whether folders above it are made, too.
    /// - Throws: `CrayonError` when it cannot be made or opened, and when another run writes into it.
    public init(_ path: String, makesParents: Bool = false) throws(CrayonError) {
        let path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        self.path = path
        while true {
            let made = try Self.make(path, makesParents: makesParents)
            let opened = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            guard opened >= 0 else {
                let code = errno
                Self.remove(made)
                throw .system(code, in: path, while: "opening the folder")
            }
            if flock(opened, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
                close(opened)
                // Whoever has the lock may be about to write into what was made here: it stays.
                for folder in made { Interruption.forget(folder) }
                throw Self.isTaken(path)
            }
            // The run before may have taken its folder away in between.
            var status = stat()
            if fstat(opened, &status) == 0, status.st_nlink == 0 {
                close(opened)
                Self.remove(made)
                continue
            }
            descriptor = opened
            created = Mutex(made)
            return
        }
    }

    deinit {
        removeIfEmpty()
        close(descriptor)
    }

    /// Makes a folder in it, with those between; one that is there stays.
    /// - Parameter name: its path below this one.
    public func make(_ name: String) throws(CrayonError) {
        let made = try Self.make("\(path)/\(name)", makesParents: true)
        created.withLock { $0 += made }
    }

    /// Takes away what was made, as far as nothing has come into it.
    public func removeIfEmpty() {
        created.withLock { created in
            Self.remove(created)
            created = []
        }
    }

    private static func remove(_ folders: [String]) {
        for folder in folders.reversed() {
            rmdir(folder)
            Interruption.forget(folder)
        }
    }

    /// - Returns: the folders that were made.
    private static func make(_ path: String, makesParents: Bool) throws(CrayonError) -> [String] {
        var missing: [String] = []
        var current = path
        while access(current, F_OK) != 0, errno == ENOENT {
            missing.append(current)
            let parent = Folder.of(current)
            if !makesParents || parent == current || parent == "." { break }
            current = parent
        }
        var made: [String] = []
        for folder in missing.reversed() {
            let (result, code) = Interruption.making(folder) {
                let result = mkdir(folder, 0o755)
                return (result, errno)
            }
            if result == 0 {
                made.append(folder)
                continue
            }
            Interruption.forget(folder)
            if code == EEXIST { continue }
            remove(made)
            throw .system(code, in: folder, while: "creating the folder")
        }
        return made
    }

    private static func isTaken(_ path: String) -> CrayonError {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        let file = names.filter { $0.contains(".crayon-partial-") }.min()
        return CrayonError(
            .io, in: path,
            found: "another run that is writing into it (it holds the folder's lock"
                + (file.map { "; '\($0)' is a file of its" } ?? "") + ")",
            advice: "Wait until that one ends, or stop it.")
    }
}

import Foundation
import Synchronization

/// The temporary file that an output is written to, before it is renamed: `.NAME.crayon-partial-PID-NUMBER` beside it.
///
/// It is locked (`flock`) for as long as its writer lives, which tells the file of a run at work from what a killed
/// one left: the system gives up a dead process's locks. The number is drawn, since processes in two containers may
/// have one PID.
enum PartialFile {
    private static func prefix(_ name: String) -> String { ".\(name).crayon-partial-" }

    /// Makes a new one and locks it. It goes with a signal from before it is there.
    static func make(
        beside path: String, folder: String, name: String
    ) throws(CrayonError) -> (path: String, descriptor: Int32) {
        removeLeftovers(of: name, in: folder)
        while true {
            let digits = String(UInt32.random(in: .min ... .max), radix: 16)
            let temporary = "\(folder)/\(prefix(name))\(getpid())-\(digits)"
            let (descriptor, code) = Interruption.making(temporary) {
                let descriptor = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
                return (descriptor, errno)
            }
            guard descriptor >= 0 else {
                Interruption.forget(temporary)
                if code == EEXIST { continue }
                throw .system(code, in: path, while: "creating a file beside it")
            }
            // A run of the same output may have taken the file for a leftover before it was locked. A file system without
            // locks has no such runs, nor leftovers that go.
            var status = stat()
            if flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK
                || fstat(descriptor, &status) == 0 && status.st_nlink == 0
            {
                close(descriptor)
                unlink(temporary)
                Interruption.forget(temporary)
                continue
            }
            return (temporary, descriptor)
        }
    }

    /// Temporary files that were in a folder when this process first wrote to it: a job of many files looks once.
    private static let found = Mutex<[String: [String]]>([:])

    /// Takes away what killed runs have left of an output, and leaves alone what others are writing.
    static func removeLeftovers(of name: String, in folder: String) {
        let names = found.withLock { found in
            if let names = found[folder] { return names }
            let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [])
                .filter { $0.hasPrefix(".") && $0.contains(".crayon-partial-") }
            found[folder] = names
            return names
        }
        // A temporary file may have one of its own, with a dot more.
        let bare = prefix(name).drop { $0 == "." }
        for entry in names where entry.drop(while: { $0 == "." }).hasPrefix(bare) {
            let descriptor = open("\(folder)/\(entry)", O_RDWR | O_CLOEXEC | O_NOFOLLOW)
            guard descriptor >= 0 else { continue }
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { unlink("\(folder)/\(entry)") }
            close(descriptor)
        }
    }
}

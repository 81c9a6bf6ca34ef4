public import Bytes
import Foundation
public import JSON

/// What a long job has finished so far, so that an interrupted run can go on where it stopped.
///
/// A folder `.NAME.crayon-resume` beside the output NAME. Its `journal.jsonl` begins with the job's fingerprint (what it
/// reads and what it was asked for) and has a line for each finished item; a job may keep files of its own beside it. The
/// folder outlives a signal, a crash and a full disk; it goes when the job ends, or when the job itself is refused.
///
/// A line is written after what it speaks of is on disk. A line that was cut short is as good as none.
public final class ResumeFolder {
    /// Where a job may keep files of its own.
    public let path: String
    /// What an interrupted run had finished, by item.
    public private(set) var finished: [String: JSONObject] = [:]
    /// Whether an interrupted run of the same job has left results: what lies under the output's name may be its own.
    public let goesOn: Bool
    /// Whether the results of an interrupted run were thrown away, since nobody asked to go on with them.
    public let discardedEarlierRun: Bool
    /// Bytes of results between two records of a job that has many: each record waits for the disk.
    public let stride: Int
    private let journal: Int32
    private let fingerprint: String

    /// 256 MB, or what the environment variable `CRAYON_RECORD_BYTES` says.
    public static let usualStride = max(1, number("CRAYON_RECORD_BYTES") ?? 256 << 20)
    /// A run waits for ever once it has so many records, by `CRAYON_PAUSE_AFTER`: for whoever wants to kill it just there.
    private static let pausedCount = number("CRAYON_PAUSE_AFTER")
    private static let journalName = "journal.jsonl"

    /// - Parameters:
    ///   - output: what the job will write in the end.
    ///   - fingerprint: everything that the result depends on. A run only goes on with what was made under the same one.
    ///   - resumes: whether to go on with an interrupted run; there need not be one.
    ///   - stride: see the property; the result does not depend on it.
    /// - Throws: `CrayonError` when another run is at work on the same output, or was made from something else.
    public init(
        output: String, fingerprint: JSONObject, resumes: Bool, stride: Int = usualStride
    ) throws(CrayonError) {
        self.stride = stride
        path = try Self.path(for: output)
        if mkdir(path, 0o755) != 0, errno != EEXIST { throw .system(errno, in: path, while: "creating the folder") }
        let file = "\(path)/\(Self.journalName)"
        let descriptor = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw .system(errno, in: file, while: "opening the journal") }
        var isOpen = false
        defer { if !isOpen { close(descriptor) } }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw CrayonError(
                .io, in: output, found: "another run that is writing it (\(path))",
                advice: "Wait until that one ends, or stop it.")
        }
        let lines = try Self.lines(of: file)
        let first = JSONValue.object(fingerprint).text(style: .compact)
        var keep = 0
        if let recorded = lines.first, resumes {
            guard recorded == first else {
                throw CrayonError(
                    .mismatch, in: output, found: "an interrupted run with other inputs or options (\(path))",
                    expected: "the inputs and options of that run: \(recorded)",
                    advice: "Give them again, or start anew without --resume.")
            }
            keep = recorded.utf8.count + 1
            for line in lines.dropFirst() {
                guard case .object(let entry)? = try? JSONValue.parse(line, name: file),
                    case .string(let item)? = entry["item"], case .object(let record)? = entry["record"]
                else { break }
                finished[item] = record
                keep += line.utf8.count + 1
            }
        }
        discardedEarlierRun = keep == 0 && !lines.isEmpty
        if keep == 0 { try Self.empty(path, but: Self.journalName) }
        guard ftruncate(descriptor, off_t(keep)) == 0, lseek(descriptor, 0, SEEK_END) == off_t(keep) else {
            throw .system(errno, in: file, while: "cutting the journal")
        }
        journal = descriptor
        self.fingerprint = first
        goesOn = !finished.isEmpty
        isOpen = true
        if keep == 0 { try append(first) }
        pauseIfAsked()
    }

    deinit { close(journal) }

    /// Forgets what an interrupted run had finished: what it speaks of is not there.
    public func startAnew() throws(CrayonError) {
        finished = [:]
        guard ftruncate(journal, 0) == 0, lseek(journal, 0, SEEK_SET) == 0 else {
            throw .system(errno, in: path, while: "cutting the journal")
        }
        try append(fingerprint)
    }

    /// Records that an item is finished and on disk.
    public func finish(_ item: String, _ record: JSONObject) throws(CrayonError) {
        let line: JSONValue = ["item": .string(item), "record": .object(record)]
        try append(line.text(style: .compact))
        finished[item] = record
        pauseIfAsked()
    }

    private func pauseIfAsked() {
        while finished.count == Self.pausedCount { pause() }
    }

    private static func number(_ variable: String) -> Int? {
        ProcessInfo.processInfo.environment[variable].flatMap(Int.init)
    }

    /// The path of a file that the job keeps.
    public func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Takes the folder away, with all that is in it: the job is done, or must not go on.
    public func remove() {
        try? Self.empty(path, but: "")
        rmdir(path)
    }

    private func append(_ line: String) throws(CrayonError) {
        let bytes = Array((line + "\n").utf8)
        var done = 0
        while done < bytes.count {
            let written = bytes.withUnsafeBytes { write(journal, $0.baseAddress! + done, bytes.count - done) }
            if written < 0 {
                if errno == EINTR { continue }
                throw .system(errno, in: path, while: "writing the journal")
            }
            done += written
        }
        guard fdatasync(journal) == 0 else { throw .system(errno, in: path, while: "syncing the journal") }
    }

    /// Whole lines: what follows the last end of line was cut short.
    private static func lines(of file: String) throws(CrayonError) -> [String] {
        let bytes = try MappedFile(path: file).whole.array
        guard let end = bytes.lastIndex(of: UInt8(ascii: "\n")) else { return [] }
        return bytes[..<end].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
    }

    private static func path(for output: String) throws(CrayonError) -> String {
        var parts = output.split(separator: "/", omittingEmptySubsequences: true).map(String.init)
        guard let name = parts.popLast(), name != ".", name != ".." else {
            throw CrayonError(.usage, in: output, found: "no name", expected: "the path of what to write")
        }
        let folder = parts.isEmpty ? (output.hasPrefix("/") ? "" : ".") : parts.joined(separator: "/")
        return "\(output.hasPrefix("/") ? "/" : "")\(folder)\(folder.isEmpty ? "" : "/").\(name).crayon-resume"
    }

    private static func empty(_ folder: String, but kept: String) throws(CrayonError) {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] where name != kept {
            guard unlink("\(folder)/\(name)") == 0 || errno == ENOENT else {
                throw .system(errno, in: "\(folder)/\(name)", while: "taking away what an interrupted run left")
            }
        }
    }
}

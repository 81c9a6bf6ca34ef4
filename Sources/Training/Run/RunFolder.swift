import Bytes
import Foundation
import JSON

/// The folder of a run: its plan, its log, its plots, its checkpoints. One process at a time.
final class RunFolder {
    let path: String
    private let lock: Int32

    /// Begins a run, or goes on with one.
    /// - Parameter inputs: what the result depends on beside the plan.
    /// - Throws: `CrayonError` for a folder that holds another run (saying in what it differs), that holds this one though
    ///   nobody asked to go on, or that another process writes.
    init(path: String, plan: TrainingPlan, inputs: JSONObject, resumes: Bool) throws(CrayonError) {
        self.path = path
        if mkdir(path, 0o755) != 0, errno != EEXIST { throw .system(errno, in: path, while: "creating the folder") }
        lock = open("\(path)/.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard lock >= 0 else { throw .system(errno, in: path, while: "opening the lock in it") }
        var isHeld = false
        defer { if !isHeld { close(lock) } }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            throw CrayonError(
                .io, in: path, found: "a run that is at work in it", advice: "Wait until it ends, or stop it.")
        }
        try Self.begin("\(path)/plan.json", .object(plan.json), text: plan.text, "the plan", resumes: resumes)
        let text = JSONValue.object(inputs).text(style: .pretty(indent: 2)) + "\n"
        try Self.begin("\(path)/inputs.json", .object(inputs), text: text, "the inputs", resumes: true)
        isHeld = true
    }

    deinit { close(lock) }

    private static func begin(
        _ file: String, _ value: JSONValue, text: String, _ what: String, resumes: Bool
    ) throws(CrayonError) {
        guard FileManager.default.fileExists(atPath: file) else {
            try AtomicFile.write(Array(text.utf8), to: file)
            return
        }
        let recorded = try JSONValue.parse(file: file)
        let differences = differences(recorded, value, at: "")
        guard differences.isEmpty else {
            throw CrayonError(
                .mismatch, in: file, found: "a run that differs in " + differences.joined(separator: "; "),
                expected: "\(what) of that run",
                advice: "Give the same again with --resume, or name another folder.")
        }
        guard resumes else {
            throw CrayonError(
                .usage, in: file, found: "a run that has begun",
                advice: "Go on with it by --resume, or name another folder.")
        }
    }

    /// In what two values differ, member by member: `key: there / here`.
    static func differences(_ recorded: JSONValue, _ given: JSONValue, at path: String) -> [String] {
        guard recorded != given else { return [] }
        guard case .object(let old) = recorded, case .object(let new) = given else {
            return ["\(path): \(recorded.text()) there, \(given.text()) here"]
        }
        var names = old.names
        names += new.names.filter { !names.contains($0) }
        return names.flatMap { name in
            differences(old[name] ?? .null, new[name] ?? .null, at: path.isEmpty ? name : "\(path).\(name)")
        }
    }
}

import Architecture
import Bytes
import Checkpoints
import Foundation
import JSON
import Models
import Tensors

/// What a run is after some update: all that it needs to go on as if it had not stopped.
struct TrainingCheckpoint {
    /// Updates done, those that were skipped among them.
    var update: Int
    /// Updates of the optimizer.
    var optimizerUpdates: Int
    var skipped: Int
    var skippedInARow: Int
    /// Of all updates so far.
    var targets: Int
    var positions: Int
    var plan: String
    /// Of the batch source.
    var position: JSONValue

    static let learnedFile = "learned.safetensors"
    static let optimizerFile = "optimizer.safetensors"
    static let stateFile = "state.json"
    private static let prefix = "checkpoint-"
    private static let format = "crayon-training-checkpoint"

    static func name(of update: Int) -> String {
        let digits = String(update)
        return prefix + String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    }

    var json: JSONObject {
        JSONObject([
            "format": .string(Self.format), "version": 1, "update": .int(update),
            "optimizer_updates": .int(optimizerUpdates), "skipped": .int(skipped),
            "skipped_in_a_row": .int(skippedInARow), "targets": .int(targets), "positions": .int(positions),
            "plan": .string(plan), "position": position,
        ])
    }

    init(
        update: Int, optimizerUpdates: Int, skipped: Int, skippedInARow: Int, targets: Int, positions: Int,
        plan: String, position: JSONValue
    ) {
        self.update = update
        self.optimizerUpdates = optimizerUpdates
        self.skipped = skipped
        self.skippedInARow = skippedInARow
        self.targets = targets
        self.positions = positions
        self.plan = plan
        self.position = position
    }

    init(_ reader: JSONReader) throws(CrayonError) {
        guard try reader.string("format") == Self.format, try reader.int("version") == 1 else {
            throw CrayonError(
                .unsupported, in: reader.place, found: "another format or version",
                expected: "\(Self.format), version 1")
        }
        self.init(
            update: try reader.int("update"), optimizerUpdates: try reader.int("optimizer_updates"),
            skipped: try reader.int("skipped"), skippedInARow: try reader.int("skipped_in_a_row"),
            targets: try reader.int("targets"), positions: try reader.int("positions"),
            plan: try reader.string("plan"), position: reader.object["position"] ?? .null)
        guard update >= 0, optimizerUpdates >= 0, skipped >= 0, skippedInARow >= 0 else {
            throw CrayonError(.malformed, in: reader.place, found: "a negative count", expected: "0 or more")
        }
    }
}

extension TrainingCheckpoint {
    /// Writes the checkpoint's folder beside its place, syncs it and renames it: it is whole, or not there.
    /// - Returns: its path.
    @discardableResult
    func write(learned: LearnedTensors, optimizer: AdamW, in run: String) throws(CrayonError) -> String {
        let name = Self.name(of: update)
        let partial = "\(run)/.\(name).partial"
        let final = "\(run)/\(name)"
        Self.remove(partial)
        let unfinished = try UnfinishedFolder(partial, files: [Self.learnedFile, Self.optimizerFile, Self.stateFile])
        defer { withExtendedLifetime(unfinished) {} }
        do throws(CrayonError) {
            let values = learned.tensors.map { $0.value.tensor(named: $0.role.rawValue, shape: $0.shape) }
            try SafetensorsWriter.write(values, to: "\(partial)/\(Self.learnedFile)")
            try SafetensorsWriter.write(
                optimizer.states.map(\.tensor), to: "\(partial)/\(Self.optimizerFile)",
                metadata: [("optimizer", optimizer.settings.states.rawValue)])
            var state = json
            var files = JSONObject()
            for file in [Self.learnedFile, Self.optimizerFile] {
                files[file] = .string(try Self.digest("\(partial)/\(file)"))
            }
            state["files"] = .object(files)
            try AtomicFile.write(
                Array((JSONValue.object(state).text(style: .pretty(indent: 2)) + "\n").utf8),
                to: "\(partial)/\(Self.stateFile)")
            // One of the same name is a broken one that the run has gone past.
            Self.remove(final)
            guard rename(partial, final) == 0 else { throw .system(errno, in: final, while: "renaming into place") }
            Self.sync(run)
        } catch {
            Self.remove(partial)
            throw error
        }
        return final
    }

    private static func digest(_ path: String) throws(CrayonError) -> String {
        SHA256Digest.of(try MappedFile(path: path).whole).description
    }

    /// Reads values and states into their tensors, once every file has proved to be what was written.
    func load(into learned: LearnedTensors, optimizer: AdamW, from folder: String) throws(CrayonError) {
        let values = try SafetensorsFile(path: "\(folder)/\(Self.learnedFile)")
        for tensor in learned.tensors {
            guard let found = values.tensor(tensor.role.rawValue), found.type == .f32, found.shape == tensor.shape
            else {
                throw CrayonError(
                    .mismatch, in: values.place, item: "tensor '\(tensor.role)'", found: "nothing of that shape",
                    expected: "F32 \(tensor.shape)")
            }
            UnsafeMutableRawPointer(tensor.value.pointer).copyMemory(
                from: found.region.baseAddress, byteCount: found.region.count)
        }
        let states = try SafetensorsFile(path: "\(folder)/\(Self.optimizerFile)")
        try optimizer.restore(updates: optimizerUpdates, from: states.place) { name in states.tensor(name) }
    }
}

extension TrainingCheckpoint {
    /// The newest checkpoint whose files all have their digests.
    /// - Parameters:
    ///   - plan: the digest of the run's plan.
    ///   - broken: is told of every newer one that is not whole.
    static func newest(
        in run: String, plan: String, broken: (CrayonError) -> Void
    ) -> (folder: String, checkpoint: TrainingCheckpoint)? {
        for update in updates(in: run).reversed() {
            let folder = "\(run)/\(name(of: update))"
            do throws(CrayonError) {
                return (folder, try read(folder, plan: plan, update: update))
            } catch {
                broken(error)
            }
        }
        return nil
    }

    private static func read(_ folder: String, plan: String, update: Int) throws(CrayonError) -> TrainingCheckpoint {
        let reader = try JSONReader(file: "\(folder)/\(stateFile)")
        let checkpoint = try TrainingCheckpoint(reader)
        guard checkpoint.plan == plan, checkpoint.update == update else {
            throw CrayonError(
                .mismatch, in: reader.place, found: "update \(checkpoint.update) of plan \(checkpoint.plan)",
                expected: "update \(update) of plan \(plan)")
        }
        let files = try reader.object("files")
        for file in [learnedFile, optimizerFile] {
            let path = "\(folder)/\(file)"
            let recorded = try files.string(file)
            let found = try digest(path)
            guard found == recorded else {
                throw CrayonError(
                    .corrupt, in: path, found: "SHA-256 \(found)", expected: "\(recorded), as \(stateFile) says")
            }
        }
        return checkpoint
    }

    /// Of all checkpoints, ascending.
    static func updates(in run: String) -> [Int] {
        ((try? FileManager.default.contentsOfDirectory(atPath: run)) ?? []).compactMap { entry in
            guard entry.hasPrefix(prefix), let update = Int(entry.dropFirst(prefix.count)), name(of: update) == entry
            else { return nil }
            return update
        }.sorted()
    }

    /// Takes away all but the newest `count`, and what an interrupted run had begun to write or to take away.
    static func prune(in run: String, keeping count: Int) {
        for update in updates(in: run).dropLast(count) { remove("\(run)/\(name(of: update))") }
        for entry in (try? FileManager.default.contentsOfDirectory(atPath: run)) ?? []
        where entry.hasPrefix(".\(prefix)") { remove("\(run)/\(entry)") }
    }

    /// Under another name first, so that nothing half taken away looks like a checkpoint.
    private static func remove(_ folder: String) {
        guard FileManager.default.fileExists(atPath: folder) else { return }
        var doomed = folder
        if let slash = folder.lastIndex(of: "/"), !folder[slash...].hasPrefix("/.") {
            doomed = "\(folder[..<slash])/.\(folder[folder.index(after: slash)...]).old"
            try? FileManager.default.removeItem(atPath: doomed)
            rename(folder, doomed)
        }
        try? FileManager.default.removeItem(atPath: doomed)
    }

    private static func sync(_ folder: String) {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }
}

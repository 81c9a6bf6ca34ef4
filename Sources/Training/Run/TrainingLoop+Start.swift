import Bytes
import Collectives
import Foundation
import JSON
import Models
import Tensors

extension TrainingLoop {
    struct Start {
        var state: TrainingCheckpoint
        var output: RunOutput?
        var folder: String?
    }

    /// Rank 0 opens the folder and reads the newest whole checkpoint; all ranks end up with its numbers.
    static func start(
        _ job: TrainingRun, _ learned: LearnedTensors, _ optimizer: AdamW, warn: (String) -> Void
    ) throws(CrayonError) -> Start {
        let plan = job.plan.digest.description
        var state = TrainingCheckpoint(
            update: 0, optimizerUpdates: 0, skipped: 0, skippedInARow: 0, targets: 0, positions: 0, plan: plan,
            position: .null)
        var output: RunOutput?
        var folder: String?
        let text = try job.communicator.onRankZero { () throws(CrayonError) in
            var inputs = job.inputs
            inputs["updates"] = .int(job.updates)
            let run = try RunFolder(path: job.folder, plan: job.plan, inputs: inputs, resumes: job.resumes)
            let found = TrainingCheckpoint.newest(in: job.folder, plan: plan) { error in
                warn("\(error). The checkpoint before is taken.")
            }
            if let found {
                try found.checkpoint.load(into: learned, optimizer: optimizer, from: found.folder)
                (state, folder) = (found.checkpoint, found.folder)
            }
            TrainingCheckpoint.prune(in: job.folder, keeping: .max)
            output = try RunOutput(run, from: state.update)
            return Array(JSONValue.object(state.json).text().utf8)
        }
        guard job.communicator.size > 1 else { return Start(state: state, output: output, folder: folder) }
        state = try TrainingCheckpoint(
            JSONReader(JSONValue.parse(String(decoding: text, as: UTF8.self), name: "rank 0"), place: "rank 0"))
        for tensor in learned.tensors {
            try job.communicator.broadcast(tensor.value.pointer, count: tensor.value.count * MemoryLayout<Float>.stride)
        }
        try optimizer.broadcast(updates: state.optimizerUpdates, over: job.communicator)
        try job.communicator.requireSame(learned.digest, "weights at the beginning")
        return Start(state: state, output: output, folder: folder)
    }

    static func decode(_ position: JSONValue, in folder: String) throws(CrayonError) -> Batches.Position? {
        if position == .null { return nil }
        do {
            return try JSONDecoder().decode(Batches.Position.self, from: Data(position.text().utf8))
        } catch {
            throw CrayonError(
                .malformed, in: folder, item: "key 'position'", found: "\(error)",
                expected: "a position in the data, as this version writes it")
        }
    }

    static func encode(_ position: Batches.Position, in folder: String) throws(CrayonError) -> JSONValue {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            let text = String(decoding: try encoder.encode(position), as: UTF8.self)
            return try JSONValue.parse(text, name: "position")
        } catch {
            throw CrayonError(.unsupported, in: folder, item: "key 'position'", found: "\(error)")
        }
    }
}

extension AdamW {
    /// Rank 0's states, for all.
    func broadcast(updates: Int, over ranks: any Communicator) throws(CrayonError) {
        for part in moments.flatMap(\.parts) {
            guard let base = part.bytes.baseAddress else { continue }
            try ranks.broadcast(base, count: part.bytes.count)
        }
        self.updates = updates
    }
}

import Bytes
import JSON

/// What a run writes beside its checkpoints.
final class RunOutput {
    private let folder: RunFolder
    private let metrics: RunLog
    private let samples: RunLog
    private var curve: LossCurve

    /// Goes on behind an update: lines of later ones are cut off.
    init(_ folder: RunFolder, from update: Int) throws(CrayonError) {
        self.folder = folder
        var curve = LossCurve()
        metrics = try RunLog(path: "\(folder.path)/metrics.jsonl", through: update) { curve.add($0) }
        samples = try RunLog(path: "\(folder.path)/samples.jsonl", through: update)
        self.curve = curve
    }

    func write(_ progress: TrainingProgress, skipped: Bool, leftOut: Int) throws(CrayonError) {
        var line = JSONObject([
            "update": .int(progress.update), "loss": progress.loss.map(JSONValue.double) ?? .null,
            "rate": .double(progress.rate), "gradient_norm": .double(progress.gradientNorm),
            "targets": .int(progress.targets), "positions": .int(progress.positions),
        ])
        if skipped { line["skipped"] = true }
        if leftOut > 0 { line["left_out"] = .int(leftOut) }
        line["seconds"] = .double((progress.seconds * 1e6).rounded() / 1e6)
        try metrics.append(line)
        if let loss = progress.loss { curve.add(update: progress.update, loss: loss) }
    }

    func write(evaluation: JSONObject, at update: Int) throws(CrayonError) {
        try metrics.append(JSONObject(["update": .int(update), "evaluation": .object(evaluation)]))
        if case .number(let number)? = evaluation["loss"], let loss = number.double {
            curve.add(update: update, evaluation: loss)
        }
    }

    func write(samples objects: [JSONObject], at update: Int) throws(CrayonError) {
        for object in objects {
            var line = JSONObject(["update": .int(update)])
            for (name, value) in object.members where name != "update" { line[name] = value }
            try samples.append(line)
        }
    }

    func sync() throws(CrayonError) {
        try metrics.sync()
        try samples.sync()
    }

    func plot(stage: String) throws(CrayonError) { try curve.write(stage: stage, in: folder.path) }
}

import Architecture
import Bytes
import Foundation
import JSON
import Kernels
import Models
import Tensors
import Testing
import Training

@Suite struct RunTests {
    /// Trains the toy in `folder/NAME`.
    @discardableResult
    static func train(
        _ folder: TestFolder, _ name: String, plan: TrainingPlan = .toy, resumes: Bool = false, toy: Toy = Toy(),
        stopAfter: Int = 1_000_000, failsAfter: Int? = nil, inputs: JSONObject = JSONObject(),
        events: (TrainingEvent) -> Void = { _ in }
    ) throws -> (outcome: TrainingOutcome, toy: Toy) {
        toy.dropout = 0.1
        var asked = 0
        let run = TrainingRun(
            plan, updates: plan.updates(examplesPerEpoch: 100), folder: folder.file(name), resumes: resumes,
            inputs: inputs,
            shouldStop: {
                asked += 1
                return asked > stopAfter * plan.batches
            })
        let hooks = TrainingHooks(
            evaluate: { update in JSONObject(["loss": .double(1 / Double(update + 1))]) },
            sample: { update in [JSONObject(["answer": "a"]), JSONObject(["answer": .int(update)])] })
        let outcome = try run.run(
            toy,
            batches: { (position: ToyBatches.Position?) throws(CrayonError) in
                var batches = ToyBatches(from: position, batchSize: plan.batchSize)
                batches.failsAfter = failsAfter
                return batches
            }, hooks: hooks, progress: events)
        return (outcome, toy)
    }

    static let finalFiles = ["learned.safetensors", "optimizer.safetensors", "state.json"]

    @Test func learnsAndLeavesItsFiles() throws {
        let folder = try TestFolder()
        var losses: [Double] = []
        var checkpoints: [String] = []
        let (outcome, toy) = try Self.train(folder, "run") { event in
            switch event {
            case .updated(let progress): losses.append(progress.loss ?? .nan)
            case .wroteCheckpoint(let path): checkpoints.append(path)
            default: break
            }
        }
        #expect(outcome.isFinished && outcome.update == 12 && outcome.skipped == 0)
        #expect(outcome.checkpoint == folder.file("run/checkpoint-000012"))
        #expect(losses.count == 12)
        #expect(losses[11] < losses[0])
        #expect(toy.distance < Toy().distance)
        #expect(checkpoints.map { $0.suffix(6) } == ["000005", "000010", "000012"])
        #expect(
            try folder.names("run") == [
                ".lock", "checkpoint-000010", "checkpoint-000012", "inputs.json", "loss.png", "loss.svg",
                "metrics.jsonl",
                "plan.json", "samples.jsonl",
            ])
        #expect(try folder.names("run/checkpoint-000012") == Self.finalFiles)
        let lines = try folder.lines("run/metrics.jsonl")
        // Twelve updates; evaluations before the first, after 4, 8 and 12.
        #expect(lines.count == 16)
        #expect(lines[0] == #"{"update": 0, "evaluation": {"loss": 1.0}}"#)
        #expect(lines[1].hasPrefix(#"{"update": 1, "loss": "#) && lines[1].contains(#""rate": 0.0, "gradient_norm": "#))
        #expect(
            try folder.lines("run/samples.jsonl") == [
                #"{"update": 6, "answer": "a"}"#, #"{"update": 6, "answer": 6}"#, #"{"update": 12, "answer": "a"}"#,
                #"{"update": 12, "answer": 12}"#,
            ])
        #expect(toy.bytes != Toy().bytes)
        #expect(try TrainingPlan(file: folder.file("run/plan.json")) == .toy)
    }

    /// Told to stop at any update, and again, in either optimizer: the same bytes in the end.
    @Test(arguments: AdamWSettings.States.allCases) func resumedRunsEndInTheSameBytes(
        states: AdamWSettings.States
    ) throws {
        let folder = try TestFolder()
        var plan = TrainingPlan.toy
        plan.optimizer.states = states
        let whole = try Self.train(folder, "whole", plan: plan)
        let first = try Self.train(folder, "parts", plan: plan, stopAfter: 2)
        #expect(first.outcome.update == 3 && !first.outcome.isFinished)
        #expect(first.outcome.checkpoint == folder.file("parts/checkpoint-000003"))
        let second = try Self.train(folder, "parts", plan: plan, resumes: true, stopAfter: 5)
        #expect(second.outcome.update == 9)
        let third = try Self.train(folder, "parts", plan: plan, resumes: true)
        #expect(third.outcome.isFinished)
        try Self.expectSame(folder, "whole", "parts")
        #expect(whole.toy.bytes == third.toy.bytes)
        // A run that is over has nothing more to do, and gives what it gave.
        let again = try Self.train(folder, "parts", plan: plan, resumes: true, toy: Toy(seed: 9))
        #expect(again.outcome == third.outcome)
        #expect(again.toy.bytes == whole.toy.bytes)
        try Self.expectSame(folder, "whole", "parts")
    }

    static func expectSame(_ folder: TestFolder, _ one: String, _ other: String) throws {
        for file in finalFiles {
            let path = "checkpoint-000012/\(file)"
            #expect(try folder.bytes("\(one)/\(path)") == folder.bytes("\(other)/\(path)"), "\(file)")
        }
        for log in ["metrics.jsonl", "samples.jsonl"] {
            #expect(try folder.lines("\(one)/\(log)") == folder.lines("\(other)/\(log)"))
        }
        #expect(try folder.bytes("\(one)/loss.svg") == folder.bytes("\(other)/loss.svg"))
    }

    /// Killed between checkpoints: what was logged behind the last one is cut off and written again.
    @Test func killedRunsEndInTheSameBytes() throws {
        let folder = try TestFolder()
        try Self.train(folder, "whole")
        // Fails in update 9, after the checkpoint of update 5.
        #expect(throws: CrayonError.self) { try Self.train(folder, "killed", failsAfter: 33) }
        #expect(try folder.lines("killed/metrics.jsonl").count == 11)
        let log = try FileHandle(forWritingTo: URL(filePath: folder.file("killed/metrics.jsonl")))
        try log.seekToEnd()
        try log.write(contentsOf: Data(#"{"update": 9, "lo"#.utf8))
        try log.close()
        var begun: TrainingEvent?
        try Self.train(folder, "killed", resumes: true) { if case .began = $0 { begun = $0 } }
        #expect(begun == .began(at: 5, updates: 12))
        try Self.expectSame(folder, "whole", "killed")
    }

    /// A checkpoint that is not whole is named, and the one before is taken, or the beginning.
    @Test(arguments: ["cut", "flipped", "state", "missing", "all"]) func brokenCheckpoints(damage: String) throws {
        let folder = try TestFolder()
        try Self.train(folder, "whole")
        try Self.train(folder, "run", stopAfter: 10)
        let newest = "run/checkpoint-000011"
        let path = folder.file("\(newest)/learned.safetensors")
        switch damage {
        case "cut": try #require(truncate(path, 1000) == 0)
        case "flipped":
            var bytes = try folder.bytes("\(newest)/optimizer.safetensors")
            bytes[bytes.count - 1] ^= 1
            try Data(bytes).write(to: URL(filePath: folder.file("\(newest)/optimizer.safetensors")))
        case "state": try Data("{".utf8).write(to: URL(filePath: folder.file("\(newest)/state.json")))
        case "missing": try FileManager.default.removeItem(atPath: path)
        default:
            for name in ["000010", "000011"] {
                try FileManager.default.removeItem(atPath: folder.file("run/checkpoint-\(name)/state.json"))
            }
        }
        var warnings: [String] = []
        var start = -1
        try Self.train(folder, "run", resumes: true) { event in
            if case .warning(let text) = event { warnings.append(text) }
            if case .began(let update, _) = event { start = update }
        }
        #expect(start == (damage == "all" ? 0 : 10))
        #expect(warnings.count == (damage == "all" ? 2 : 1))
        #expect(warnings.allSatisfy { $0.contains("checkpoint-0000") })
        try Self.expectSame(folder, "whole", "run")
    }

    @Test func otherRunsAreRefused() throws {
        let folder = try TestFolder()
        try Self.train(folder, "run", stopAfter: 1, inputs: JSONObject(["model": "a"]))
        let before = try folder.names("run")
        var plan = TrainingPlan.toy
        plan.rate = 2e-2
        plan.learns[0].rate = 1e-3
        for resumes in [true, false] {
            let error = #expect(throws: CrayonError.self) {
                try Self.train(folder, "run", plan: plan, resumes: resumes, inputs: JSONObject(["model": "a"]))
            }
            #expect(error?.found.contains("rate: 0.01 there, 0.02 here") == true)
            #expect(error?.found.contains("learns: ") == true)
        }
        let other = #expect(throws: CrayonError.self) {
            try Self.train(folder, "run", resumes: true, inputs: JSONObject(["model": "b"]))
        }
        #expect(other?.found.contains(#"model: "a" there, "b" here"#) == true)
        let begun = #expect(throws: CrayonError.self) {
            try Self.train(folder, "run", inputs: JSONObject(["model": "a"]))
        }
        #expect(begun?.description.contains("--resume") == true)
        #expect(try folder.names("run") == before)
    }

    @Test func gradientsThatAreNotFinite() throws {
        let folder = try TestFolder()
        let toy = Toy()
        toy.broken = [2, 3, 6]
        var skipped: [String] = []
        var plan = TrainingPlan.toy
        plan.mostSkipped = 3
        let (outcome, _) = try Self.train(folder, "run", plan: plan, toy: toy) {
            if case .skipped(let update, let reason) = $0 { skipped.append("\(update): \(reason)") }
        }
        #expect(outcome.skipped == 3 && outcome.isFinished)
        #expect(skipped.count == 3)
        #expect(skipped[0] == "3: the gradient of 'projectors.image.0.weight' is not finite")
        #expect(try folder.lines("run/metrics.jsonl").filter { $0.contains(#""skipped": true"#) }.count == 3)
        #expect(toy.learned.tensors.allSatisfy { $0.value.values.allSatisfy(\.isFinite) })
        plan.mostSkipped = 2
        let second = Toy()
        second.broken = [6, 7]
        let error = #expect(throws: CrayonError.self) { try Self.train(folder, "ends", plan: plan, toy: second) }
        #expect(error?.place == "update 8")
        #expect(error?.item == "tensor 'projectors.image.0.weight'")
        #expect(try folder.names("ends").contains("checkpoint-000005"))
    }

    /// Batches of another size, number of threads: what an update is made of stays the same.
    @Test func splitsDoNotMatter() throws {
        let folder = try TestFolder()
        var plan = TrainingPlan.toy
        plan.dropout = 0
        func train(_ name: String, batchSize: Int) throws -> [Float] {
            var plan = plan
            plan.batchSize = batchSize
            let toy = Toy()
            let run = TrainingRun(plan, updates: 12, folder: folder.file(name))
            _ = try run.run(
                toy,
                batches: { (position: ToyBatches.Position?) throws(CrayonError) in
                    ToyBatches(from: position, batchSize: batchSize)
                })
            return toy.learned.tensors.flatMap(\.value.values)
        }
        let ones = try train("ones", batchSize: 1)
        let eights = try train("eights", batchSize: 8)
        for (one, eight) in zip(ones, eights) { #expect((one - eight).magnitude <= 2e-6) }
        #expect(ones != Toy().learned.tensors.flatMap(\.value.values))
    }

    /// Each part at its own rate; vectors without decay unless they are asked to.
    @Test func ratesOfParts() throws {
        let folder = try TestFolder()
        var plan = TrainingPlan.toy
        (plan.length, plan.schedule, plan.warmup, plan.weightDecay) = (.updates(1), .constant, .updates(0), 0)
        (plan.evaluateEvery, plan.sampleEvery) = (nil, nil)
        let (_, toy) = try Self.train(folder, "run", plan: plan)
        let start = Toy()
        // The first step of Adam is as long as the rate.
        for (tensor, (before, rate)) in zip(
            toy.learned.tensors, zip(start.learned.tensors, [Float(3e-3), 1e-2]))
        {
            let steps = zip(tensor.value.values, before.value.values).map { ($0 - $1).magnitude }
            #expect(steps.allSatisfy { $0 <= rate * 1.0001 })
            // But where the gradient is about as small as epsilon.
            #expect(steps.count { $0 < rate * 0.999 } <= 1 + steps.count / 500)
        }
    }

    /// The limit of file sizes stands in for a disk that is full: of the whole process, hence one of its own.
    @Test func diskFull() async {
        await #expect(processExitsWith: .success) {
            let folder = try TestFolder()
            try RunTests.train(folder, "whole")
            try RunTests.train(folder, "run", stopAfter: 4)
            let before = try folder.names("run")
            var limit = rlimit(rlim_cur: 20_000, rlim_max: rlim_t.max)
            signal(SIGXFSZ, SIG_IGN)
            #if canImport(Glibc)
                setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            #else
                setrlimit(RLIMIT_FSIZE, &limit)
            #endif
            let error = #expect(throws: CrayonError.self) { try RunTests.train(folder, "run", resumes: true) }
            #expect(error?.code == .io)
            #expect(error?.advice?.contains("checkpoint-000005 is whole") == true)
            #expect(try folder.names("run") == before)
            limit.rlim_cur = rlim_t.max
            #if canImport(Glibc)
                setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
            #else
                setrlimit(RLIMIT_FSIZE, &limit)
            #endif
            try RunTests.train(folder, "run", resumes: true)
            try RunTests.expectSame(folder, "whole", "run")
        }
    }

    /// A signal is noted, the update ends, a checkpoint is written; then the run goes on as if nothing had been.
    @Test func signals() async {
        await #expect(processExitsWith: .success) {
            let folder = try TestFolder()
            try RunTests.train(folder, "whole")
            StopSignal.watch(notice: "stopping\n")
            let plan = TrainingPlan.toy
            let run = TrainingRun(plan, updates: 12, folder: folder.file("run"))
            let toy = Toy()
            toy.dropout = 0.1
            let hooks = TrainingHooks(
                evaluate: { update in JSONObject(["loss": .double(1 / Double(update + 1))]) },
                sample: { update in [JSONObject(["answer": "a"]), JSONObject(["answer": .int(update)])] })
            let outcome = try run.run(
                toy, batches: { (position: ToyBatches.Position?) throws(CrayonError) in ToyBatches(from: position) },
                hooks: hooks,
                progress: { event in
                    guard case .updated(let progress) = event, progress.update == 6 else { return }
                    kill(getpid(), SIGTERM)
                    // Another thread may be the one that is interrupted.
                    while StopSignal.received == nil { usleep(1000) }
                })
            #expect(outcome.update == 7)
            #expect(StopSignal.received == SIGTERM)
            #expect(try folder.names("run").contains("checkpoint-000007"))
            try RunTests.train(folder, "run", resumes: true)
            try RunTests.expectSame(folder, "whole", "run")
        }
    }

    @Test func oneProcessAtATime() throws {
        let folder = try TestFolder()
        try Self.train(folder, "run", stopAfter: 1)
        let file = open(folder.file("run/.lock"), O_RDWR)
        defer { close(file) }
        try #require(flock(file, LOCK_EX | LOCK_NB) == 0)
        let error = #expect(throws: CrayonError.self) { try Self.train(folder, "run", resumes: true) }
        #expect(error?.found == "a run that is at work in it")
    }
}

import Architecture
import Bytes
import JSON
import Layers
import Testing
import Training

@Suite struct PlanTests {
    private static func plan(_ json: String) throws -> TrainingPlan {
        try TrainingPlan(JSONReader(JSONValue.parse(json, name: "plan.json"), place: "plan.json"))
    }

    /// Every preset makes sense, and reads back as it was written.
    @Test(arguments: TrainingPlan.Preset.allCases) func presets(preset: TrainingPlan.Preset) throws {
        let plan = TrainingPlan(preset)
        try plan.validate()
        #expect(try Self.plan(plan.text) == plan)
        #expect(try Self.plan(plan.text).digest == plan.digest)
    }

    @Test func paperSettings() {
        let plan = TrainingPlan(.imageCIT)
        #expect(plan.sets.map(\.name) == ["object"])
        #expect(plan.sets[0].rank == 64 && plan.sets[0].alpha == 64 && plan.sets[0].modules == nil)
        #expect((plan.rate, plan.finalRate) == (1e-4, 1e-6))
        #expect(plan.schedule == .cosine && plan.length == .epochs(1) && plan.recomputedBlocks == 1)
        #expect(plan.learns.map(\.part) == ["adapters:object"])
        #expect(TrainingPlan(.vlCIT).learns.map(\.part) == ["adapters:vl"])
        #expect(TrainingPlan(.cpt).learns.map(\.part) == ["crayon", "projectors"])
    }

    @Test func everythingSurvives() throws {
        var plan = TrainingPlan.toy
        plan.sets = [.init(name: "a", rank: 8, alpha: 16, isRankStabilized: true, modules: [.query, .down])]
        plan.activeSets = ["a", "b"]
        plan.learns = [.init("adapters:a", rate: 1e-3, finalRate: 0, weightDecay: 0.5)]
        plan.warmup = .ratio(0.1)
        plan.length = .epochs(1.5)
        (plan.maxLength, plan.clipNorm, plan.dropout, plan.recomputedBlocks) = (100, nil, 0.25, 0)
        (plan.seed, plan.mostSkipped, plan.keptCheckpoints, plan.usesCrayon) = (.max - 3, 7, 9, false)
        plan.optimizer = .init(states: .blockwise8, beta1: 0.8, beta2: 0.9, epsilon: 1e-6)
        (plan.decaysVectors, plan.arithmetic) = (true, .float32)
        #expect(try Self.plan(plan.text) == plan)
        #expect(try Self.plan(#"{"stage": "x", "learns": [{"part": "crayon"}]}"#).sequences == 16)
        #expect(try Self.plan(#"{"stage": "x", "learns": [{"part": "crayon"}], "rate": 1e-8}"#).finalRate == 1e-8)
    }

    @Test func lengths() {
        var plan = TrainingPlan.toy
        plan.length = .epochs(1)
        #expect(plan.updates(examplesPerEpoch: 17) == 3)
        #expect(plan.updates(examplesPerEpoch: 16) == 2)
        #expect(plan.updates(examplesPerEpoch: 0) == 1)
        plan.warmup = .ratio(0.1)
        #expect(plan.schedule(updates: 11).warmup == 2)
        plan.warmup = .updates(100)
        #expect(plan.schedule(updates: 11).warmup == 11)
    }

    @Test(arguments: [
        (#""rat": 1"#, "key 'rat': a key that no plan has"), (#""rate": 0"#, "key 'rate': 0.0"),
        (#""rate": "high""#, "key 'rate': the string"), (#""final_rate": 1"#, "key 'final_rate': 1.0"),
        (#""schedule": "step""#, "expected one of constant, cosine, linear"),
        (#""optimizer": "sgd""#, "expected one of adamw, adamw8bit"),
        (#""warmup_updates": 1, "warmup_ratio": 0.1"#, "'warmup_ratio' too"),
        (#""epochs": 1, "updates": 1"#, "'updates' too"), (#""warmup_ratio": 2"#, "0 to 1"),
        (#""sequences": 7, "batch_size": 2"#, "a multiple of the batch size, 2"), (#""batch_size": 0"#, "batch_size"),
        (#""epochs": -1"#, "epochs"), (#""updates": 0"#, "updates"), (#""max_length": 1"#, "max_length"),
        (#""beta1": 1"#, "beta1"), (#""epsilon": 0"#, "epsilon"), (#""weight_decay": -1"#, "weight_decay"),
        (#""clip_norm": 0"#, "clip_norm"), (#""dropout": 1"#, "dropout"), (#""recomputed_blocks": -1"#, "recomputed"),
        (#""checkpoint_every": 0"#, "checkpoint_every"), (#""kept_checkpoints": 0"#, "kept_checkpoints"),
        (#""most_skipped": 0"#, "most_skipped"), (#""sets": [{"name": "a"}, {"name": "a"}]"#, "more than once"),
        (#""sets": [{"name": "a", "r": 1}]"#, "key 'sets[0].r'"),
        (#""sets": [{"name": "a", "modules": ["q"]}]"#, "'q'"),
    ])
    func refusals(json: String, says: String) {
        let error = #expect(throws: CrayonError.self) {
            try Self.plan(#"{"stage": "x", "learns": [{"part": "crayon"}], \#(json)}"#)
        }
        #expect(error?.place == "plan.json")
        #expect(error?.description.contains(says) == true, "\(error?.description ?? "")")
    }

    @Test(arguments: [
        (#"{"learns": []}"#, "key 'stage'"), (#"{"stage": "a b", "learns": [{"part": "crayon"}]}"#, "stage"),
        (#"{"stage": "a", "learns": []}"#, "at least one part"),
        (#"{"stage": "a", "learns": [{"part": "head"}]}"#, "learns[0].part"),
        (#"{"stage": "a", "learns": [{"part": "crayon"}, {"part": "crayon"}]}"#, "learns[1].part"),
        (#"{"stage": "a", "learns": [{"part": "crayon", "rate": -1}]}"#, "learns[0].rate"),
        (#"{"stage": "a", "learns": [{"part": "crayon", "final_rate": 1}]}"#, "learns[0].final_rate"),
    ])
    func refusedParts(json: String, says: String) {
        let error = #expect(throws: CrayonError.self) { try Self.plan(json) }
        #expect(error?.description.contains(says) == true, "\(error?.description ?? "")")
    }
}

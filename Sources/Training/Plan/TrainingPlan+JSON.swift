import Architecture
public import Bytes
import Foundation
public import JSON
import Kernels
import Layers

extension TrainingPlan {
    private static let keys = [
        "stage", "learns", "sets", "active_sets", "crayon", "rate", "final_rate", "schedule", "warmup_updates",
        "warmup_ratio", "sequences", "batch_size", "epochs", "updates", "max_length", "optimizer", "beta1", "beta2",
        "epsilon", "weight_decay", "decays_vectors", "clip_norm", "dropout", "recomputed_blocks", "arithmetic",
        "seed", "most_skipped", "evaluate_every", "sample_every", "checkpoint_every", "kept_checkpoints",
    ]

    /// All members, in the order of the format's page.
    public var json: JSONObject {
        var object = JSONObject()
        func optional(_ value: Int?) -> JSONValue { value.map(JSONValue.int) ?? .null }
        object["stage"] = .string(stage)
        object["learns"] = .array(learns.map(\.json))
        object["sets"] = .array(sets.map(\.json))
        object["active_sets"] = activeSets.map { .array($0.map(JSONValue.string)) } ?? .null
        object["crayon"] = .bool(usesCrayon)
        object["rate"] = .double(rate)
        object["final_rate"] = .double(finalRate)
        object["schedule"] = .string(schedule.rawValue)
        switch warmup {
        case .updates(let count): object["warmup_updates"] = .int(count)
        case .ratio(let ratio): object["warmup_ratio"] = .double(ratio)
        }
        object["sequences"] = .int(sequences)
        object["batch_size"] = .int(batchSize)
        switch length {
        case .epochs(let epochs): object["epochs"] = .double(epochs)
        case .updates(let count): object["updates"] = .int(count)
        }
        object["max_length"] = optional(maxLength)
        object["optimizer"] = .string(optimizer.states.rawValue)
        object["beta1"] = .double(optimizer.beta1)
        object["beta2"] = .double(optimizer.beta2)
        object["epsilon"] = .double(optimizer.epsilon)
        object["weight_decay"] = .double(weightDecay)
        object["decays_vectors"] = .bool(decaysVectors)
        object["clip_norm"] = clipNorm.map(JSONValue.double) ?? .null
        object["dropout"] = .double(dropout)
        object["recomputed_blocks"] = .int(recomputedBlocks)
        object["arithmetic"] = .string(arithmetic.rawValue)
        object["seed"] = .int(Int(truncatingIfNeeded: seed))
        object["most_skipped"] = .int(mostSkipped)
        object["evaluate_every"] = optional(evaluateEvery)
        object["sample_every"] = optional(sampleEvery)
        object["checkpoint_every"] = optional(checkpointEvery)
        object["kept_checkpoints"] = .int(keptCheckpoints)
        return object
    }

    /// The file's text.
    public var text: String { JSONValue.object(json).text(style: .pretty(indent: 2)) + "\n" }

    /// What tells one plan from another.
    public var digest: SHA256Digest { .of(Array(text.utf8)) }

    /// Reads a plan and checks it. What is absent has the value of `TrainingPlan.init(stage:learns:)`.
    /// - Throws: `CrayonError` naming file and key: for a key that no plan has, and for values that make no sense.
    public init(file: String) throws(CrayonError) { try self.init(JSONReader(file: file)) }

    public init(_ reader: JSONReader) throws(CrayonError) {
        try reader.refuseOthers(than: Self.keys)
        self.init(stage: try reader.string("stage"), learns: [])
        for part in try reader.objects("learns") { learns.append(try Learning(part)) }
        if reader.object["sets"] != nil {
            for set in try reader.objects("sets") { sets.append(try StageModel.FreshSet(set)) }
        }
        if try reader.optionalArray("active_sets") != nil { activeSets = try reader.strings("active_sets") }
        usesCrayon = try reader.optionalBool("crayon") ?? usesCrayon
        rate = try reader.optionalDouble("rate") ?? rate
        finalRate = try reader.optionalDouble("final_rate") ?? min(finalRate, rate)
        schedule = try reader.choice("schedule", schedule)
        try reader.exclude("warmup_updates", "warmup_ratio")
        if let count = try reader.optionalInt("warmup_updates") { warmup = .updates(count) }
        if let ratio = try reader.optionalDouble("warmup_ratio") { warmup = .ratio(ratio) }
        sequences = try reader.optionalInt("sequences") ?? sequences
        batchSize = try reader.optionalInt("batch_size") ?? batchSize
        try reader.exclude("epochs", "updates")
        if let epochs = try reader.optionalDouble("epochs") { length = .epochs(epochs) }
        if let count = try reader.optionalInt("updates") { length = .updates(count) }
        maxLength = try reader.optionalInt("max_length")
        optimizer.states = try reader.choice("optimizer", optimizer.states)
        optimizer.beta1 = try reader.optionalDouble("beta1") ?? optimizer.beta1
        optimizer.beta2 = try reader.optionalDouble("beta2") ?? optimizer.beta2
        optimizer.epsilon = try reader.optionalDouble("epsilon") ?? optimizer.epsilon
        weightDecay = try reader.optionalDouble("weight_decay") ?? weightDecay
        decaysVectors = try reader.optionalBool("decays_vectors") ?? decaysVectors
        if reader.object["clip_norm"] != nil { clipNorm = try reader.optionalDouble("clip_norm") }
        dropout = try reader.optionalDouble("dropout") ?? dropout
        recomputedBlocks = try reader.optionalInt("recomputed_blocks") ?? recomputedBlocks
        arithmetic = try reader.choice("arithmetic", arithmetic)
        seed = try reader.optionalInt("seed").map { UInt64(bitPattern: Int64($0)) } ?? seed
        mostSkipped = try reader.optionalInt("most_skipped") ?? mostSkipped
        evaluateEvery = try reader.optionalInt("evaluate_every")
        sampleEvery = try reader.optionalInt("sample_every")
        checkpointEvery = try reader.optionalInt("checkpoint_every")
        keptCheckpoints = try reader.optionalInt("kept_checkpoints") ?? keptCheckpoints
        try validate(in: reader.place)
    }
}

extension TrainingPlan.Learning {
    var json: JSONValue {
        var object = JSONObject(["part": .string(part)])
        object["rate"] = rate.map(JSONValue.double)
        object["final_rate"] = finalRate.map(JSONValue.double)
        object["weight_decay"] = weightDecay.map(JSONValue.double)
        return .object(object)
    }

    init(_ reader: JSONReader) throws(CrayonError) {
        try reader.refuseOthers(than: ["part", "rate", "final_rate", "weight_decay"])
        self.init(
            try reader.string("part"), rate: try reader.optionalDouble("rate"),
            finalRate: try reader.optionalDouble("final_rate"),
            weightDecay: try reader.optionalDouble("weight_decay"))
    }
}

extension StageModel.FreshSet {
    var json: JSONValue {
        [
            "name": .string(name), "rank": .int(rank), "alpha": .double(alpha), "rslora": .bool(isRankStabilized),
            "modules": modules.map { .array($0.map { .string($0.rawValue) }) } ?? .null,
        ]
    }

    init(_ reader: JSONReader) throws(CrayonError) {
        try reader.refuseOthers(than: ["name", "rank", "alpha", "rslora", "modules"])
        let name = try reader.string("name")
        self.init(name: name)
        rank = try reader.optionalInt("rank") ?? rank
        alpha = try reader.optionalDouble("alpha") ?? Double(rank)
        isRankStabilized = try reader.optionalBool("rslora") ?? isRankStabilized
        guard try reader.optionalArray("modules") != nil else { return }
        var chosen: [BackboneModule] = []
        for name in try reader.strings("modules") {
            guard let module = BackboneModule(rawValue: name) else {
                throw CrayonError(
                    .malformed, in: reader.place, item: "key '\(reader.path).modules'", found: "'\(name)'",
                    expected: "some of " + BackboneModule.allCases.map(\.rawValue).joined(separator: ", "))
            }
            chosen.append(module)
        }
        modules = chosen
    }
}

extension JSONReader {
    fileprivate func key(_ name: String) -> String { "key '\(path.isEmpty ? name : "\(path).\(name)")'" }

    /// A key that is spelt wrong would else be taken for one that is absent.
    fileprivate func refuseOthers(than keys: [String]) throws(CrayonError) {
        guard let other = object.names.first(where: { !keys.contains($0) }) else { return }
        throw CrayonError(
            .malformed, in: place, item: key(other), found: "a key that no plan has",
            expected: "one of \(keys.joined(separator: ", "))")
    }

    fileprivate func exclude(_ one: String, _ other: String) throws(CrayonError) {
        guard let first = object[one], first != .null, let second = object[other], second != .null else { return }
        throw CrayonError(.malformed, in: place, item: key(one), found: "'\(other)' too", expected: "one of the two")
    }

    fileprivate func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ name: String, _ value: Choice
    ) throws(CrayonError) -> Choice {
        guard let text = try optionalString(name) else { return value }
        guard let choice = Choice(rawValue: text) else {
            throw CrayonError(
                .malformed, in: place, item: key(name), found: "'\(text)'",
                expected: "one of \(Choice.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return choice
    }
}

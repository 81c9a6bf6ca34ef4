import Architecture
import Bytes
import JSON

extension Layout {
    /// Rotary positions from `rope_theta` and `rope_scaling`, transformers 5's `rope_parameters`, or InternLM's
    /// `rotary` (type `origin` or `dynamic`, its factor `scaling_factor`, 1 unless given).
    static func readRotary(
        _ config: JSONReader, defaultMaxPositions: Int, headSize: Int
    ) throws(CrayonError) -> RotaryConfiguration {
        let maxPositions = try config.optionalExtent("max_position_embeddings", limit: 1 << 30) ?? defaultMaxPositions
        if let share = try config.optionalDouble("partial_rotary_factor"), share != 1 {
            throw CrayonError(
                .unsupported, in: config.place, item: "key 'partial_rotary_factor'", found: "\(share)", expected: "1")
        }
        if let rotary = try config.optionalObject("rotary") {
            let base = try rotary.optionalPositive("base") ?? 10000
            switch try rotary.optionalString("type") ?? "origin" {
            case "origin": return RotaryConfiguration(base: base, maxPositions: maxPositions)
            case "dynamic":
                let factor = try rotary.optionalPositive("scaling_factor") ?? 1
                return RotaryConfiguration(base: base, maxPositions: maxPositions, scaling: .dynamic(factor: factor))
            case let other: throw unsupported(other, rotary, "type", "'origin' or 'dynamic'")
            }
        }
        let parameters = try config.optionalObject("rope_parameters")
        let nested = parameters?.object.members.first { if case .object = $0.value { true } else { false } }
        if let member = nested {
            throw CrayonError(
                .unsupported, in: config.place, item: "key 'rope_parameters.\(member.name)'",
                found: "rotary settings that differ between kinds of layers", expected: "one for all layers")
        }
        let newerBase = try parameters?.optionalPositive("rope_theta")
        let base = try config.optionalPositive("rope_theta") ?? newerBase ?? 10000
        guard let scaling = try config.optionalObject("rope_scaling") ?? parameters else {
            return RotaryConfiguration(base: base, maxPositions: maxPositions)
        }
        // Files in the wild write both keys; transformers prefers the newer.
        let newer = try scaling.optionalString("rope_type")
        let older = try scaling.optionalString("type")
        let key = newer == nil ? "type" : "rope_type"
        let kind = newer ?? older ?? "default"
        func factor() throws(CrayonError) -> Double {
            if let factor = try scaling.optionalPositive("factor") { return factor }
            return try scaling.double("factor")
        }
        // One beside the scaling counts more, as transformers has it.
        func original() throws(CrayonError) -> Int {
            let key = "original_max_position_embeddings"
            if let beside = try config.optionalExtent(key, limit: 1 << 30) { return beside }
            return try scaling.optionalExtent(key, limit: 1 << 30) ?? maxPositions
        }
        var rope = RotaryConfiguration(base: base, maxPositions: maxPositions)
        switch kind {
        case "default": break
        case "linear": rope.scaling = .linear(factor: try factor())
        case "dynamic": rope.scaling = .dynamic(factor: try factor())
        case "llama3":
            rope.scaling = .llama3(
                parameters: try llama3(scaling, factor: try factor(), original: try original()))
        case "longrope":
            rope.scaling = .frequencies(
                factors: try frequencyFactors(
                    scaling, key, stretch: Double(maxPositions) / Double(try original()), count: headSize / 2))
        default: throw unsupported(kind, scaling, key, "'default', 'linear', 'dynamic' or 'llama3'")
        }
        return rope
    }

    private static func llama3(
        _ scaling: JSONReader, factor: Double, original: Int
    ) throws(CrayonError) -> Llama3Scaling {
        func positive(_ key: String) throws(CrayonError) -> Double {
            if let value = try scaling.optionalPositive(key) { return value }
            return try scaling.double(key)
        }
        let low = try positive("low_freq_factor")
        let high = try positive("high_freq_factor")
        guard high > low else {
            throw CrayonError(
                .mismatch, in: scaling.place, item: "key '\(scaling.path).high_freq_factor'", found: "\(high)",
                expected: "more than low_freq_factor, \(low)")
        }
        return Llama3Scaling(
            factor: factor, lowFrequencyFactor: low, highFrequencyFactor: high,
            originalMaxPositions: original)
    }

    /// `longrope` as far as it is one factor for each frequency at all lengths, and scales no attention: the form that a
    /// GGUF file's own frequencies take as a checkpoint.
    private static func frequencyFactors(
        _ scaling: JSONReader, _ key: String, stretch: Double, count: Int
    ) throws(CrayonError) -> [Float] {
        let short = try scaling.doubles("short_factor").map { Float($0) }
        let long = try scaling.doubles("long_factor").map { Float($0) }
        let stretch = try scaling.optionalPositive("factor") ?? stretch
        let attention = try scaling.optionalPositive("attention_factor") ?? (stretch <= 1 ? 1 : nil)
        guard short == long, attention == 1 else {
            throw CrayonError(
                .unsupported, in: scaling.place, item: "key '\(scaling.path).\(key)'",
                found: "rotary scaling of type 'longrope'"
                    + (short == long ? " that scales attention" : " whose factors differ between lengths"),
                expected: "equal short_factor and long_factor, and an attention_factor of 1")
        }
        guard short.count == count, short.allSatisfy({ $0.isFinite && $0 > 0 }) else {
            throw CrayonError(
                .mismatch, in: scaling.place, item: "key '\(scaling.path).short_factor'",
                found: "\(short.count) numbers, the least \(short.min() ?? 0)",
                expected: "\(count) positive numbers, for half a head")
        }
        return short
    }

    private static func unsupported(
        _ kind: String, _ reader: JSONReader, _ key: String, _ expected: String
    ) -> CrayonError {
        CrayonError(
            .unsupported, in: reader.place, item: "key '\(reader.path).\(key)'",
            found: "rotary scaling of type '\(kind)'", expected: expected)
    }
}

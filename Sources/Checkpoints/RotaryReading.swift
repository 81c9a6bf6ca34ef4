import Architecture
import Bytes
import JSON

extension Layout {
    /// Rotary positions from `rope_theta` and `rope_scaling`, transformers 5's `rope_parameters`, or InternLM's
    /// `rotary` (type `origin` or `dynamic`, its factor `scaling_factor`, 1 unless given).
    static func readRotary(
        _ config: JSONReader, defaultMaxPositions: Int
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
        switch kind {
        case "default": return RotaryConfiguration(base: base, maxPositions: maxPositions)
        case "linear":
            return RotaryConfiguration(base: base, maxPositions: maxPositions, scaling: .linear(factor: try factor()))
        case "dynamic":
            return RotaryConfiguration(base: base, maxPositions: maxPositions, scaling: .dynamic(factor: try factor()))
        default: throw unsupported(kind, scaling, key, "'default', 'linear' or 'dynamic'")
        }
    }

    private static func unsupported(
        _ kind: String, _ reader: JSONReader, _ key: String, _ expected: String
    ) -> CrayonError {
        CrayonError(
            .unsupported, in: reader.place, item: "key '\(reader.path).\(key)'",
            found: "rotary scaling of type '\(kind)'", expected: expected)
    }
}

public import Architecture
import Bytes
import JSON
import Quantization
import Tensors

/// `rope_freqs.weight`: what llama.cpp divides each rotary frequency by.
///
/// GGUF has the numbers and not the rule that they came from. Those of Llama 3.1 and 3.2 are recognised; others are kept as they are.
public enum GGUFFrequencies {
    /// The tensor's name.
    public static let name = "rope_freqs.weight"

    /// The published models': low and high factors 1 and 4 over 8192 positions; `factor` is 8 (3.1, 3.3) or 32 (3.2).
    private static func published(factor: Double) -> Llama3Scaling {
        Llama3Scaling(factor: factor, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 8192)
    }

    /// Relative; a converter's powers differ from others in their last bits.
    private static let tolerance: Float = 1e-5

    /// - Returns: nil where there is no such tensor, or all of it is 1.
    /// - Throws: `CrayonError` for another type or shape, and for numbers that are no divisors.
    static func scaling(
        in file: GGUFFile, base: Double, headSize: Int
    ) throws(CrayonError) -> RotaryConfiguration.Scaling? {
        guard let stored = file.stored(name) else { return nil }
        guard stored.type == .f32, stored.shape.dims == [headSize / 2] else {
            throw CrayonError(
                .mismatch, in: file.place, item: "tensor '\(name)'",
                found: "\(stored.type.label) of shape \(stored.shape)",
                expected: "F32 of \(headSize / 2), half of a head")
        }
        let factors = (0..<headSize / 2).map {
            stored.region.buffer.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self)
        }
        if let wrong = factors.firstIndex(where: { !($0.isFinite && $0 > 0) }) {
            throw CrayonError(
                .malformed, in: file.place, item: "tensor '\(name)'", found: "\(factors[wrong]) at index \(wrong)",
                expected: "positive numbers")
        }
        guard factors.contains(where: { $0 != 1 }) else { return nil }
        let known = published(factor: Double(factors.max() ?? 1))
        let expected = RotaryConfiguration(base: base, maxPositions: 1, scaling: .llama3(parameters: known))
            .frequencyDivisors(headSize: headSize)
        let isKnown = zip(factors, expected ?? []).allSatisfy { abs($0 - $1) <= tolerance * $1 }
        return isKnown ? .llama3(parameters: known) : .frequencies(factors: factors)
    }
}

extension RotaryConfiguration {
    /// `rope_scaling` of a config.json, for transformers and Crayon; nil for none.
    var scalingObject: JSONObject? {
        func number(_ value: Double) -> JSONValue { .number(JSONNumber(value)) }
        func object(_ type: JSONValue, _ members: [String: JSONValue]) -> JSONObject {
            var object = JSONObject(["type": type, "rope_type": type])
            for (key, value) in members.sorted(by: { $0.key < $1.key }) { object[key] = value }
            return object
        }
        switch scaling {
        case .none: return nil
        case .linear(let factor): return object("linear", ["factor": number(factor)])
        case .dynamic(let factor): return object("dynamic", ["factor": number(factor)])
        case .llama3(let scaling):
            return object(
                "llama3",
                [
                    "factor": number(scaling.factor), "low_freq_factor": number(scaling.lowFrequencyFactor),
                    "high_freq_factor": number(scaling.highFrequencyFactor),
                    "original_max_position_embeddings": .number(JSONNumber(scaling.originalMaxPositions)),
                ])
        case .frequencies(let factors):
            let list = JSONValue.array(factors.map { number(GGUFHyperparameters.shortest(Double($0))) })
            return object(
                "longrope",
                [
                    "short_factor": list, "long_factor": list, "factor": number(1), "attention_factor": number(1),
                    "original_max_position_embeddings": .number(JSONNumber(maxPositions)),
                ])
        }
    }
}

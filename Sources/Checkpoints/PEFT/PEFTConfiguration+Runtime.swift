import Bytes
import JSON

extension PEFTConfiguration {
    /// Whether the runtime can run what the file describes: plain pairs on linear layers, at all positions.
    /// - Throws: `CrayonError` naming the key that asks for more.
    func checkRunnable() throws(CrayonError) {
        func refuse(_ key: String, _ expected: String, advice: String? = nil) -> CrayonError {
            var error = Self.unsupported(key, object[key] ?? .null, expected, place)
            error.advice = advice
            return error
        }
        guard restriction == nil else { throw refuse("peft_type", "\"LORA\"") }
        for key in ["use_dora", "lora_bias", "fan_in_fan_out", "modules_to_save", "layers_to_transform"]
        where Self.isSet(object[key]) {
            throw refuse(
                key, "an adapter without it, to be run beside its base", advice: "Merge it: 'crayon adapter merge'.")
        }
        guard trainedBiases == .none else {
            throw refuse("bias", "\"none\"", advice: "Merge it: 'crayon adapter merge'.")
        }
        guard decomposition == nil else {
            throw refuse("init_lora_weights", "true: this one changes the base's weights on loading")
        }
    }
}

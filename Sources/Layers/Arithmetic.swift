/// What products with weights are computed in.
public enum Arithmetic: String, CaseIterable, Sendable {
    /// Every product and sum in float32: the reference.
    case float32
    /// The levels of quantized weights, the dense weights of the vision tower and the projectors, and what they meet as int16;
    /// sums of 64 products exact, then scaled and added in float32: a relative error of about 1e-4 in what a layer gives, for
    /// half the time. Other dense weights, and quantized ones whose rows are not whole blocks, stay in float32.
    case int16
}

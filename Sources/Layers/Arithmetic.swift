/// What products with weights are computed in.
public enum Arithmetic: String, CaseIterable, Sendable {
    /// Every product and sum in float32: the reference.
    case float32
    /// The weights and what they meet as int16, gradients on their way back included: a quantized weight's levels, a dense one's
    /// values with a scale for every 64. Sums of 64 products are exact, then scaled and added in float32: a relative error of about
    /// 1e-4 in what a layer gives, for half the time. A few rows beside a dense weight, or beside a quantized one whose rows are not
    /// whole blocks, stay in float32.
    case int16
}

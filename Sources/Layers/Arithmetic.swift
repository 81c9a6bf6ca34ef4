/// What the products of quantized weights are computed in.
public enum Arithmetic: String, CaseIterable, Sendable {
    /// Every product and sum in float32: the reference.
    case float32
    /// Levels and activations as int16, sums of 64 products exact, then scaled and added in float32: a relative error of
    /// about 1e-4 in what a layer gives, for half the time.
    case int16
}

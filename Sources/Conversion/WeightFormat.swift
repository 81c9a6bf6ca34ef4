/// What a user can ask a part to be stored in.
public enum WeightFormat: String, Codable, CaseIterable, Sendable {
    /// bitsandbytes' NormalFloat4 with double-quantized scales, for matrices.
    case nf4
    /// bitsandbytes' 8-bit dynamic map in blocks, for matrices.
    case int8
    case bf16
    case f16
    case f32
    /// As in the source, bit for bit.
    case source
}

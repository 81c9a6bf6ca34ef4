import Kernels

/// What the 4-bit codes of bitsandbytes stand for, by its names.
public enum FourBitType: String, Codable, CaseIterable, Sendable {
    /// Quantiles of a normal distribution, ascending (QLoRA, Dettmers et al. 2023).
    case nf4
    /// A float of one sign, two exponent and one mantissa bit; codes from 8 on are the negatives of those before.
    case fp4

    /// The levels as bitsandbytes saves them, by code.
    public var map: [Float] {
        switch self {
        case .nf4: NF4Kernel.map
        case .fp4: [0, 0.0625, 8, 12, 4, 6, 2, 3, -0.0, -0.0625, -8, -12, -4, -6, -2, -3].map { $0 / 12 }
        }
    }
}

/// What the codes of an 8-bit weight stand for.
public enum EightBitType: String, Codable, CaseIterable, Sendable {
    /// bitsandbytes' signed dynamic map, ascending.
    case dynamic8
    /// LLM.int8() (Dettmers et al. 2022): a two's complement integer, of which 127 is the block's absmax.
    case linear8

    /// The levels by code, a byte.
    public var map: [Float] {
        switch self {
        case .dynamic8: Dynamic8Kernel.map
        case .linear8: (0..<256).map { Float(Int8(truncatingIfNeeded: $0)) / 127 }
        }
    }
}

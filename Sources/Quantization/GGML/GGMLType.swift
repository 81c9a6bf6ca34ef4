/// The element types of GGML, the library behind llama.cpp, that Crayon reads: by the numbers that GGUF files have for them.
///
/// A block format stores a run of consecutive elements of a row in a fixed number of bytes. See `Formats/gguf.md`.
public enum GGMLType: UInt32, CaseIterable, Sendable {
    case f32 = 0
    case f16 = 1
    case q40 = 2
    case q41 = 3
    case q50 = 6
    case q51 = 7
    case q80 = 8
    case q4K = 12
    case q5K = 13
    case q6K = 14
    case iq4NL = 20
    case i8 = 24
    case i16 = 25
    case i32 = 26
    case i64 = 27
    case f64 = 28
    case bf16 = 30

    /// GGML's name in capitals: `F16`, `Q4_K`.
    public var label: String {
        switch self {
        case .f32: "F32"
        case .f16: "F16"
        case .q40: "Q4_0"
        case .q41: "Q4_1"
        case .q50: "Q5_0"
        case .q51: "Q5_1"
        case .q80: "Q8_0"
        case .q4K: "Q4_K"
        case .q5K: "Q5_K"
        case .q6K: "Q6_K"
        case .iq4NL: "IQ4_NL"
        case .i8: "I8"
        case .i16: "I16"
        case .i32: "I32"
        case .i64: "I64"
        case .f64: "F64"
        case .bf16: "BF16"
        }
    }

    /// Elements of a block; 1 for a type whose elements stand by themselves.
    public var blockElements: Int { codec?.blockElements ?? 1 }

    /// Bytes of a block, or of an element.
    public var blockBytes: Int {
        switch self {
        case .i8: 1
        case .f16, .bf16, .i16: 2
        case .f32, .i32: 4
        case .f64, .i64: 8
        default: codec?.blockBytes ?? 0
        }
    }

    /// Whether elements share scales.
    public var isBlockFormat: Bool { codec != nil }

    /// - Returns: the bytes of so many elements; nil where they are no whole blocks, or too many to count.
    public func byteCount(of elements: Int) -> Int? {
        guard elements >= 0, elements % blockElements == 0 else { return nil }
        let (count, overflow) = (elements / blockElements).multipliedReportingOverflow(by: blockBytes)
        return overflow ? nil : count
    }

    /// The name of a type that GGML has and Crayon does not read; nil for a number that means nothing.
    public static func unreadName(_ number: UInt32) -> String? { unreadNames[number] }

    private static let unreadNames: [UInt32: String] = [
        4: "Q4_2, which GGML no longer has", 5: "Q4_3, which GGML no longer has", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K",
        15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS",
        29: "IQ1_M", 31: "Q4_0_4_4, which GGML no longer has", 32: "Q4_0_4_8, which GGML no longer has",
        33: "Q4_0_8_8, which GGML no longer has", 34: "TQ1_0", 35: "TQ2_0", 36: "IQ4_NL_4_4, which GGML no longer has",
        37: "IQ4_NL_4_8, which GGML no longer has", 38: "IQ4_NL_8_8, which GGML no longer has", 39: "MXFP4",
        40: "NVFP4", 41: "Q1_0", 42: "Q2_0",
    ]

    /// How blocks are read and made; nil for a type without blocks.
    var codec: (any GGMLCodec.Type)? {
        switch self {
        case .q40: SignedBlock<FourBitCodes>.self
        case .q41: OffsetBlock<FourBitCodes>.self
        case .q50: SignedBlock<FiveBitCodes>.self
        case .q51: OffsetBlock<FiveBitCodes>.self
        case .q80: EightBitBlock.self
        case .q4K: SuperBlock<FourBitSuperCodes>.self
        case .q5K: SuperBlock<FiveBitSuperCodes>.self
        case .q6K: SixBitSuperBlock.self
        case .iq4NL: NonlinearBlock.self
        default: nil
        }
    }
}

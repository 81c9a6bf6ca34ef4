import Quantization
public import Tensors

/// How a weight is stored, and what it gives back.
public struct BundleCoding: Codable, Equatable, Sendable {
    public enum Kind: String, Codable, Sendable, CaseIterable {
        /// The elements as they are.
        case plain
        /// The elements, losslessly packed: `PackedTensor`.
        case packed
        /// bitsandbytes' 4-bit NormalFloat.
        case nf4
        /// bitsandbytes' 4-bit float, carried over from a checkpoint that has it.
        case fp4
        /// 8-bit codes of bitsandbytes' signed dynamic map, in blocks; or those of LLM.int8(), a row being a block.
        case int8
    }

    public var kind: Kind
    /// Element type of the source.
    public var sourceType: ElementType
    /// Element type of what is stored (plain, packed) or of what it stands for (nf4, fp4, int8).
    public var type: ElementType
    public var shape: [Int]
    /// Elements of a block: of a packed plane, or of one scale.
    public var blockSize: Int?
    /// Scales of a block of scales; nil without double quantization.
    public var nestedBlockSize: Int?
    /// How 8-bit codes were chosen. Of no concern to a reader; it says what to compare with.
    public var codeRule: String?

    public init(
        kind: Kind, sourceType: ElementType, type: ElementType, shape: Shape, blockSize: Int? = nil,
        nestedBlockSize: Int? = nil, codeRule: String? = nil
    ) {
        self.kind = kind
        self.sourceType = sourceType
        self.type = type
        self.shape = shape.dims
        self.blockSize = blockSize
        self.nestedBlockSize = nestedBlockSize
        self.codeRule = codeRule
    }
}

extension BundleCoding {
    /// Whether what is stored are codes and scales.
    public var isQuantized: Bool {
        switch kind {
        case .plain, .packed: false
        case .nf4, .fp4, .int8: true
        }
    }

    /// The format in a few characters, for lists: `BF16`, `BF16 packed`, `NF4`, `INT8`.
    public var label: String {
        switch kind {
        case .plain: type.rawValue
        case .packed: "\(type.rawValue) packed"
        case .nf4: "NF4"
        case .fp4: "FP4"
        case .int8: "INT8"
        }
    }
}

/// A tensor of a bundle that stores a weight or a part of one.
public struct BundleComponent: Equatable, Sendable {
    /// What follows the weight's name.
    public let suffix: String
    public let type: ElementType
    /// Nil for bytes whose number the coding alone does not tell.
    public let shape: Shape?
    /// Whether the runtime reads it in place, so that it must begin at a multiple of 64 bytes.
    public let isAligned: Bool
}

extension BundleCoding {
    /// The tensors that the coding consists of, in the order in which a bundle holds them.
    /// - Precondition: the coding is valid.
    public var components: [BundleComponent] {
        let shape = Shape(shape)
        let count = shape.count
        switch kind {
        case .plain:
            return [BundleComponent(suffix: "", type: type, shape: shape, isAligned: true)]
        case .packed:
            return [BundleComponent(suffix: "", type: .u8, shape: nil, isAligned: true)]
        case .nf4, .fp4:
            let blocks = Self.blocks(count, blockSize ?? 1)
            let scales = [
                part(NF4Tensor.Component.absmax, nestedBlockSize == nil ? .f32 : .u8, [blocks]),
                part(NF4Tensor.Component.quantMap, .f32, [16]),
            ]
            let nested = nestedBlockSize.map {
                [
                    part(NF4Tensor.Component.nestedAbsmax, .f32, [Self.blocks(blocks, $0)]),
                    part(NF4Tensor.Component.nestedQuantMap, .f32, [256]),
                ]
            }
            return [BundleComponent(suffix: "", type: .u8, shape: Shape([(count + 1) / 2, 1]), isAligned: true)]
                + scales + (nested ?? [])
                + [text(NF4Tensor.Component.quantState(kind == .nf4 ? .nf4 : .fp4))]
        case .int8:
            let blocks = Self.blocks(count, blockSize ?? 1)
            return [
                BundleComponent(suffix: "", type: .u8, shape: shape, isAligned: true),
                part(Int8Tensor.Component.absmax, .f32, [blocks]),
                part(Int8Tensor.Component.quantMap, .f32, [256]),
                text(Int8Tensor.Component.quantState),
            ]
        }
    }

    private func part(_ name: some RawRepresentable<String>, _ type: ElementType, _ dims: [Int]) -> BundleComponent {
        BundleComponent(suffix: name.rawValue, type: type, shape: Shape(dims), isAligned: true)
    }

    private func text(_ name: some RawRepresentable<String>) -> BundleComponent {
        BundleComponent(suffix: name.rawValue, type: .u8, shape: nil, isAligned: false)
    }

    /// What follows the name of the text that describes a quantized weight; nil for the others.
    public var quantStateSuffix: String? {
        switch kind {
        case .plain, .packed: nil
        case .nf4: NF4Tensor.Component.quantState.rawValue
        case .fp4: NF4Tensor.Component.fp4QuantState.rawValue
        case .int8: Int8Tensor.Component.quantState.rawValue
        }
    }

    /// - Returns: what is wrong with the parameters, nil when they make sense.
    var problem: String? {
        guard let shape = Shape(checking: shape), shape.count <= Int.max / 16 else { return "shape \(self.shape)" }
        switch kind {
        case .plain:
            return nil
        case .packed:
            guard let blockSize, PackedTensor.acceptedBlockElements.contains(blockSize) else {
                return "a packed block of \(blockSize.map(String.init) ?? "no") elements"
            }
            return BytePlanes.count(of: type) == nil ? "packed elements of type \(type.rawValue)" : nil
        case .nf4, .fp4, .int8:
            guard let blockSize,
                NF4Tensor.blockSizes.contains(blockSize) || kind == .int8 && blockSize == max(shape.columns, 1)
            else {
                return "a block of \(blockSize.map(String.init) ?? "no") elements"
            }
            if let nestedBlockSize, kind == .int8 || nestedBlockSize != 256 {
                return "nested blocks of \(nestedBlockSize)"
            }
            guard [.f32, .f16, .bf16].contains(type) else { return "elements of type \(type.rawValue)" }
            guard shape.count > 0 else { return "an empty quantized tensor" }
            return nil
        }
    }

    private static func blocks(_ count: Int, _ size: Int) -> Int { (count + size - 1) / size }
}

import Architecture
import Bytes
import Checkpoints
import Quantization
import Tensors

/// Everything that a GGUF file consists of, known before its first byte is written.
struct GGUFPlan {
    /// A tensor of the file, and what it is made from.
    struct PlannedTensor {
        enum Source {
            /// A weight, and the row of it for each row of the tensor; nil where they are the same.
            case weight(Role, rows: [Int]?)
            case values([Float])
        }

        let name: String
        let type: GGMLType
        let shape: Shape
        let source: Source

        var declaration: GGUFWriter.Declaration { .init(name: name, type: type, shape: shape) }
    }

    var metadata: [(name: String, value: GGUFWriter.Value)] = []
    var tensors: [PlannedTensor] = []
    var warnings: [String] = []
    /// Types that were wished for, and what rows that are no whole blocks got instead.
    private var fallbacks: [GGMLType: (type: GGMLType, count: Int)] = [:]

    init() {}

    /// `general.file_type`, llama.cpp's number for a mix of types that is mostly this one.
    static func fileType(_ type: GGMLType) -> UInt32 {
        switch type {
        case .f16: 1
        case .q40: 2
        case .q41: 3
        case .q80: 7
        case .q50: 8
        case .q51: 9
        case .q4K: 14
        case .q5K: 16
        case .q6K: 18
        case .iq4NL: 25
        case .bf16: 32
        default: 0
        }
    }

    mutating func addGeneral(architecture: String, name: String, type: GGMLType?) {
        metadata += [
            ("general.architecture", .string(architecture)), ("general.type", .string("model")),
            ("general.name", .string(name)), ("general.quantization_version", .uint32(2)),
        ]
        if let type { metadata.append(("general.file_type", .uint32(Self.fileType(type)))) }
    }

    /// The type of a matrix: the one wished for, or one with smaller blocks where rows are no whole ones, as llama.cpp chooses it.
    mutating func type(_ wished: GGMLType, columns: Int) -> GGMLType {
        var type = wished
        if columns % type.blockElements != 0 {
            type = [.q4K: .q50, .q5K: .q51, .q6K: .q80][type] ?? .f16
        }
        if columns % type.blockElements != 0 { type = .f16 }
        if type != wished { fallbacks[wished] = (type, (fallbacks[wished]?.count ?? 0) + 1) }
        return type
    }

    mutating func warnOfFallbacks() {
        for (wished, fallback) in fallbacks.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            warnings.append(
                "\(fallback.count) matrices whose rows are no whole blocks of \(wished.label) are written in "
                    + fallback.type.label)
        }
    }

    /// What the file's own name for the model is: the last part of the path, its ending dropped.
    static func name(of model: any ModelSource) -> String {
        let last = Folder.lastPart(of: model.place)
        for ending in [".crayon", ".gguf", ".safetensors"] where last.hasSuffix(ending) {
            return String(last.dropLast(ending.count))
        }
        return last
    }

    /// The type that a weight has in the source, among GGML's.
    static func sourceType(_ weight: ElementType) -> GGMLType {
        switch weight {
        case .f16: .f16
        case .bf16: .bf16
        default: .f32
        }
    }
}

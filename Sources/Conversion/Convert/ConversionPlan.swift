import Bytes
import Checkpoints
import JSON
import Tensors

/// What becomes of every tensor and every small file.
struct ConversionPlan {
    struct Item {
        let entry: TensorEntry
        let type: ElementType
    }

    let items: [Item]
    let files: [AuxiliaryFile]
    private(set) var warnings: [String]

    /// - Throws: `CrayonError` for a tensor of a type that the target does not have.
    init(
        _ source: ConversionSource, target: TensorConversion.Target, type: ExportOptions.DequantizedType
    ) throws(CrayonError) {
        let checkpoint = source.checkpoint
        let wanted: ElementType? =
            switch type {
            case .source: nil
            case .f32: .f32
            case .f16: .f16
            case .bf16: .bf16
            }
        var items: [Item] = []
        var widened = 0
        var rounded = 0
        var dequantized = 0
        for name in checkpoint.names {
            guard let entry = checkpoint.entry(name) else { continue }
            var result = entry.type
            if entry.type.isFloat, let wanted { result = wanted }
            if target == .npz, result == .bf16 {
                result = .f32
                widened += 1
            }
            guard target != .npz || NumPyWriter.holds(result) else {
                throw CrayonError(
                    .unsupported, in: checkpoint.file(of: name), item: "tensor '\(name)'",
                    found: "\(result.rawValue), a type that NumPy does not have",
                    expected: "F64, F32, F16, integers or BOOL", advice: "Convert to safetensors or PyTorch's format.")
            }
            if result != entry.type, !Self.holds(entry.type, in: result) { rounded += 1 }
            if ElementType(rawValue: entry.encoding) == nil { dequantized += 1 }
            items.append(Item(entry: entry, type: result))
        }
        self.items = items
        warnings = source.warnings
        if dequantized > 0 { warnings.append("quantized weights that are written as numbers: \(dequantized)") }
        if rounded > 0 { warnings.append("tensors that lose digits in \(wanted?.rawValue ?? "F32"): \(rounded)") }
        if widened > 0 { warnings.append("BF16 tensors that are written as F32, since NumPy has no BF16: \(widened)") }
        files = try source.files.map { file throws(CrayonError) in
            guard file.name == "config.json" else { return file }
            let kept = dequantized > 0 ? try file.withoutQuantization(in: checkpoint.place) : file
            return try Self.configuration(kept, type: wanted, in: checkpoint.place)
        }
    }

    var declarations: [SafetensorsWriter.Declaration] {
        items.map { .init(name: $0.entry.name, type: $0.type, shape: $0.entry.shape) }
    }

    /// Whether every number of a type is one of another, too.
    private static func holds(_ type: ElementType, in other: ElementType) -> Bool {
        type == other || other == .f64 || (other == .f32 && type != .f64)
    }

    /// A config.json that says the type of its weights, if it said one.
    private static func configuration(
        _ file: AuxiliaryFile, type: ElementType?, in place: String
    ) throws(CrayonError) -> AuxiliaryFile {
        guard let name = type?.torchName else { return file }
        let value = try JSONValue.parse(file.region, name: "\(place): \(file.name)", limits: .init(depth: 64))
        guard case .object(var object) = value else { return file }
        var isChanged = false
        for key in ["dtype", "torch_dtype"] {
            if case .string(let old)? = object[key], old != name {
                object[key] = .string(name)
                isChanged = true
            }
        }
        guard isChanged else { return file }
        let text = JSONValue.object(object).text(style: .pretty(indent: 2)) + "\n"
        return AuxiliaryFile(name: file.name, region: ByteRegion(copying: Array(text.utf8)))
    }
}

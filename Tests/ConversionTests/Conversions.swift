import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Conversion
import Quantization
import Tensors

/// Converts a model with the defaults of the command, but for what a test says.
@discardableResult
func convert(
    _ model: CheckpointModel, to path: String, _ assignments: [String] = [],
    profile: PrecisionPlan.Profile = .faithful, quantizer: NF4Quantizer? = nil, int8Quantizer: Int8Quantizer? = nil,
    packs: Bool = true, requantizes: Bool = false, probes: [String] = [],
    progress: @escaping @Sendable (BundleConversion.Progress) -> Void = { _ in }
) throws -> BundleManifest {
    var plan = PrecisionPlan(profile)
    for assignment in assignments { try plan.apply(assignment) }
    let options = try BundleConversion.Options(
        plan: plan, quantizer: quantizer ?? NF4Quantizer(), int8Quantizer: int8Quantizer ?? Int8Quantizer(),
        packs: packs, requantizes: requantizes, probes: ProbeInputs.collect(probes, for: model.configuration))
    return try BundleConversion(options: options, progress: progress).run(model, output: path)
}

extension StoredWeight {
    /// The bytes of all components, by suffix.
    var components: [String: [UInt8]] {
        let tensors: [Tensor] =
            switch self {
            case .dense(let tensor): [tensor.named("")]
            case .nf4(let tensor): tensor.components(named: "")
            case .int8(let tensor): tensor.components(named: "")
            }
        return Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.region.array) })
    }
}

/// Llama checkpoints written for a test: one layer, everything random, one tensor or another replaced.
struct LlamaFolder {
    var vocabulary = 40
    var hidden = 16
    var type = ElementType.bf16
    var seed: UInt64 = 1
    /// By name: values put over the random ones, by index.
    var replaced: [String: [Int: Float]] = [:]

    static let query = "model.layers.0.self_attn.q_proj.weight"

    func write(to folder: String) throws {
        let intermediate = 24
        let config = """
            {"model_type": "llama", "hidden_size": \(hidden), "num_attention_heads": 2, "num_hidden_layers": 1,
             "intermediate_size": \(intermediate), "vocab_size": \(vocabulary), "tie_word_embeddings": true,
             "max_position_embeddings": 64}
            """
        try AtomicFile.write(Array(config.utf8), to: "\(folder)/config.json")
        var names: KeyValuePairs<String, [Int]> {
            [
                "model.embed_tokens.weight": [vocabulary, hidden],
                "model.layers.0.input_layernorm.weight": [hidden],
                "model.layers.0.self_attn.q_proj.weight": [hidden, hidden],
                "model.layers.0.self_attn.k_proj.weight": [hidden, hidden],
                "model.layers.0.self_attn.v_proj.weight": [hidden, hidden],
                "model.layers.0.self_attn.o_proj.weight": [hidden, hidden],
                "model.layers.0.post_attention_layernorm.weight": [hidden],
                "model.layers.0.mlp.gate_proj.weight": [intermediate, hidden],
                "model.layers.0.mlp.up_proj.weight": [intermediate, hidden],
                "model.layers.0.mlp.down_proj.weight": [hidden, intermediate],
                "model.norm.weight": [hidden],
            ]
        }
        var generator = SplitMix64(seed: seed)
        let tensors = names.map { name, dims in
            let shape = Shape(dims)
            let values = (0..<shape.count).map { index in
                // Sums of uniforms: near enough to a normal distribution, of deviation 0.02.
                replaced[name]?[index]
                    ?? Float((generator.uniform() + generator.uniform() + generator.uniform() - 1.5) * 0.04)
            }
            return Tensor(name: name, type: type, shape: shape, region: ByteRegion(copying: encoded(values, as: type)))
        }
        try SafetensorsWriter.write(tensors, to: "\(folder)/model.safetensors")
    }
}

/// Little-endian bytes, rounded to nearest even: the tests' own conversion.
func encoded(_ values: [Float], as type: ElementType) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(values.count * type.byteCount)
    for value in values {
        switch type {
        case .f64: withUnsafeBytes(of: Double(value)) { bytes += $0 }
        case .f32: withUnsafeBytes(of: value) { bytes += $0 }
        case .f16: withUnsafeBytes(of: Float16(value)) { bytes += $0 }
        case .bf16:
            let bits = value.bitPattern
            let rounded = value.isFinite ? UInt16((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) : UInt16(bits >> 16)
            withUnsafeBytes(of: rounded) { bytes += $0 }
        default: preconditionFailure("no float type")
        }
    }
    return bytes
}

/// The elements as float32.
func decoded(_ tensor: Tensor) -> [Float] {
    let bytes = tensor.region.array
    return bytes.withUnsafeBytes { buffer in
        (0..<tensor.shape.count).map { index in
            switch tensor.type {
            case .f64: Float(buffer.loadUnaligned(fromByteOffset: index * 8, as: Double.self))
            case .f32: buffer.loadUnaligned(fromByteOffset: index * 4, as: Float.self)
            case .f16: Float(buffer.loadUnaligned(fromByteOffset: index * 2, as: Float16.self))
            case .bf16:
                Float(bitPattern: UInt32(buffer.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)) << 16)
            default: .nan
            }
        }
    }
}

import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Foundation
import Quantization
import Tensors

/// A text model of a few hundred weights with one low-rank set: enough for every kind of coding.
enum TinyModel {
    static let configuration = ModelConfiguration(
        layout: "test",
        backbone: BackboneConfiguration(
            vocabularySize: 33, hiddenSize: 16, layerCount: 1, headCount: 2, keyValueHeadCount: 1, intermediateSize: 40,
            rope: RotaryConfiguration(maxPositions: 64), attentionForm: .separate, hasQueryKeyValueBias: true),
        lowRankSets: [
            LowRankSet(name: "vl", rank: 3, alpha: 6, modules: [.query, .down], scope: .all, input: .hidden)
        ],
        tokens: SpecialTokens(begin: 1, end: [2]), prompt: .plain)

    /// The same kinds of coding in fewer tensors, for tests that open a bundle thousands of times.
    static let smallest = ModelConfiguration(
        layout: "test",
        backbone: BackboneConfiguration(
            vocabularySize: 5, hiddenSize: 6, layerCount: 1, headCount: 2, keyValueHeadCount: 1, headSize: 4,
            intermediateSize: 7, rope: RotaryConfiguration(maxPositions: 64), attentionForm: .fused),
        lowRankSets: [LowRankSet(name: "vl", rank: 1, alpha: 6, modules: [.output], scope: .all, input: .hidden)],
        tokens: SpecialTokens(begin: 1, end: [2]), prompt: .plain)

    /// Deterministic weights: normal-like bfloat16 of a small spread.
    static func tensor(_ role: Role, shape: Shape, type: ElementType = .bf16, seed: UInt64 = 1) -> Tensor {
        var random = SplitMix(state: seed &+ UInt64(role.rawValue.utf8.reduce(0) { $0 &* 31 &+ Int($1) } & 0xFFFF))
        var bytes: [UInt8] = []
        for _ in 0..<shape.count {
            let value = (0..<6).reduce(Float(0)) { sum, _ in sum + random.unit() - 0.5 } * 0.03
            let bits = value.bitPattern
            if type == .bf16 {
                bytes += [UInt8(truncatingIfNeeded: bits >> 16), UInt8(truncatingIfNeeded: bits >> 24)]
            } else {
                withUnsafeBytes(of: bits) { bytes += $0 }
            }
        }
        return Tensor(name: role.rawValue, type: type, shape: shape, region: ByteRegion(copying: bytes))
    }

    /// What each parameter becomes: attention 4-bit (doubly quantized), MLP 4-bit, head 8-bit, the rest dense.
    static func weights(of configuration: ModelConfiguration = configuration) throws -> [(BundleWeight, StoredWeight)] {
        let double = try NF4Quantizer(blockSize: 32)
        let single = try NF4Quantizer(blockSize: 64, doubleQuantization: false)
        let int8 = try Int8Quantizer(blockSize: 64)
        return try configuration.parameters.map { parameter in
            let tensor = tensor(parameter.role, shape: parameter.shape)
            let name = parameter.role.rawValue
            let weight: StoredWeight
            if parameter.isMatrix, name.contains("attention"), parameter.part == .backbone {
                weight = .nf4(try double.quantize(tensor))
            } else if parameter.isMatrix, name.contains("mlp"), parameter.part == .backbone {
                let quantized = try single.quantize(tensor)
                // Nothing makes FP4: the same codes and scales, which stand for other numbers then.
                weight = .nf4(
                    name.contains("up")
                        ? try NF4Tensor(
                            shape: quantized.shape, blockSize: quantized.blockSize, codes: quantized.codes,
                            scales: quantized.scales, quantType: .fp4, sourceType: quantized.sourceType)
                        : quantized)
            } else if parameter.part == .head {
                weight = .int8(try int8.quantize(tensor))
            } else {
                weight = .dense(tensor)
            }
            var coding = BundleCoding(storing: weight)
            if parameter.part == .embeddings {
                // Too small to be worth it, but a packed tensor is wanted: several blocks, the last one short.
                coding = BundleCoding(
                    kind: .packed, sourceType: .bf16, type: .bf16, shape: parameter.shape, blockSize: 100)
            }
            return (
                BundleWeight(
                    role: parameter.role, part: parameter.part, name: "model." + name, sourceName: "model." + name,
                    coding: coding), weight
            )
        }
    }

    static let history = [
        BundleStep(
            kind: "convert", producer: "test", options: ["profile": "test"],
            sources: [BundleSource(name: "model.safetensors", byteCount: 7, sha256: String(repeating: "a", count: 64))])
    ]

    static let files = [
        AuxiliaryFile(name: "config.json", region: ByteRegion(copying: Array("{\"a\": 1}".utf8))),
        AuxiliaryFile(name: "vision/preprocessor_config.json", region: ByteRegion(copying: Array("{}".utf8))),
    ]

    static func probes() throws -> [BundleProbe] {
        [
            try BundleProbe(
                name: "0",
                tensors: [
                    "input_ids": Tensor(name: "", shape: Shape([3]), values: [Int64(1), 5, 7]),
                    "logits": Tensor(name: "", shape: Shape([1, 5]), values: [Float(1), 2, 3, 4, 5]),
                ], in: "test")
        ]
    }

    /// Writes the whole model as a bundle.
    @discardableResult
    static func write(_ configuration: ModelConfiguration = configuration, to path: String) throws -> BundleManifest {
        let weights = try weights(of: configuration)
        let manifest = BundleManifest(model: configuration, history: history, weights: weights.map(\.0))
        let writer = try BundleWriter(path: path, manifest: manifest, files: files, probes: probes())
        for (entry, weight) in weights { try writer.append(weight, of: entry) }
        return try writer.finish()
    }
}

struct SplitMix {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
    mutating func unit() -> Float { Float(next() >> 40) / Float(1 << 24) }
}

/// A folder that goes away with the value.
final class TemporaryFolder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("crayon-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func callAsFunction(_ name: String) -> String { path + "/" + name }
    func bytes(_ name: String) throws -> [UInt8] { try [UInt8](Data(contentsOf: URL(fileURLWithPath: self(name)))) }
    func write(_ bytes: [UInt8], _ name: String) throws { try Data(bytes).write(to: URL(fileURLWithPath: self(name))) }
    var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path).sorted()) ?? [] }
}

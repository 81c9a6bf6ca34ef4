import Adapters
import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Conversion
import Foundation
import Kernels
import Models
import Quantization
import Tensors
import Testing

/// What the tests of merges have in common.
enum Merges {
    static let llama = Samples.models + "/llama"
    static let style = Samples.models + "/llama-lora/style"
    /// 23 positions, with the logits that PEFT gives for llama with the adapter.
    static let probe = Samples.models + "/llama-lora/probe-0.safetensors"

    /// A folder of `Fixtures/merges`, which `Scripts/reference/merged_models.py` writes.
    static func fixture(_ path: String) throws -> String {
        try #require(Bundle.module.path(forResource: "Fixtures/merges/\(path)", ofType: nil))
    }

    @discardableResult
    static func merge(
        _ base: String, _ adapters: [String], to output: String, options: MergeOptions = MergeOptions(),
        progress: @escaping @Sendable (AdapterMerge.Progress) -> Void = { _ in }
    ) throws -> MergeReport {
        let members = try adapters.map { try openWeightedAdapter($0) }
        return try merge(
            openBase(path: base), members, names: adapters, to: output, options: options, progress: progress)
    }

    @discardableResult
    static func merge(
        _ base: any BaseModel, _ members: [(adapter: Adapter, weight: Double)], names: [String] = ["made"],
        to output: String, options: MergeOptions = MergeOptions(),
        progress: @escaping @Sendable (AdapterMerge.Progress) -> Void = { _ in }
    ) throws -> MergeReport {
        try AdapterMerge(base: base, members: members, names: names, options: options)
            .run(to: output, progress: progress)
    }

    /// The llama fixture as a bundle, with sets and recorded answers where asked.
    static func bundle(
        _ path: String, backbone: WeightFormat = .nf4, adapters: [(name: String, path: String)] = [],
        probes: [String] = []
    ) throws -> BundleReader {
        let model = try CheckpointModel.open(CheckpointParts(backbone: llama, adapters: adapters))
        return try convert(model, to: path, backbone: backbone, probes: probes)
    }

    @discardableResult
    static func convert(
        _ model: CheckpointModel, to path: String, backbone: WeightFormat = .nf4, probes: [String] = []
    ) throws -> BundleReader {
        var plan = PrecisionPlan()
        plan[.backbone] = backbone
        let options = try BundleConversion.Options(
            plan: plan, quantizer: NF4Quantizer(), int8Quantizer: Int8Quantizer(),
            probes: ProbeInputs.collect(probes, for: model.configuration))
        try BundleConversion(options: options).run(model, output: path)
        return try BundleReader(path: path)
    }

    /// Every number of a weight, in float32.
    static func values(_ weight: StoredWeight) -> [Float] {
        var values = [Float](repeating: 0, count: weight.shape.count)
        weight.dequantize(elements: 0..<values.count, into: &values)
        return values
    }

    static func values(_ base: any BaseModel, _ name: String) throws -> [Float] { values(try base.stored(name)) }

    /// The change that a plain pair makes, in float64.
    static func delta(_ module: AdapterModule) throws -> [Double] {
        let a = values(.dense(try module.a.tensor())).map(Double.init)
        let b = values(.dense(try module.b.tensor())).map(Double.init)
        let (rows, columns) = (module.b.shape[0], module.a.shape[1])
        var delta = [Double](repeating: 0, count: rows * columns)
        for row in 0..<rows {
            for k in 0..<module.rank {
                let factor = b[row * module.rank + k] * module.scale
                for column in 0..<columns { delta[row * columns + column] += factor * a[k * columns + column] }
            }
        }
        return delta
    }

    /// The logits of the probe's prompt.
    static func logits(_ bundle: BundleReader) throws -> Matrix {
        let model = try VisionLanguageModel(source: bundle)
        return try model.logits(Probe(SafetensorsFile(path: probe), for: bundle.configuration).input)
    }

    static func relativeError(_ measured: Matrix, _ reference: Matrix) -> Double {
        LogitComparison(measured: measured, reference: reference).relativeError
    }

    /// Rounded to half precision and back.
    static func half(_ values: [Float]) -> [Float] {
        var values = values
        var narrow = [UInt16](repeating: 0, count: values.count)
        FloatConversion.narrow(values, count: values.count, to: .f16, into: &narrow)
        FloatConversion.widen(narrow, type: .f16, count: values.count, into: &values)
        return values
    }

    /// Names and bytes of all tensors, but for the padding between them.
    static func tensors(_ file: SafetensorsFile) -> [String: [UInt8]] {
        var tensors: [String: [UInt8]] = [:]
        for name in file.names { tensors[name] = file.tensor(name)?.region.array }
        return tensors
    }

    static func files(in folder: String) throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
            files[name] = try MappedFile(path: "\(folder)/\(name)").whole.array
        }
        return files
    }
}

import Adapters
import Bytes
import Checkpoints
import Foundation
import JSON
import Quantization
import Tensors
import Testing

/// Against PEFT's `merge_and_unload`: fixtures by `Scripts/reference/merged_models.py`.
@Suite struct PEFTMergeTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let name: String
        let base: String
        /// PyTorch sums DoRA's norms in an order of its own.
        var ulps: Int32 = 0
        var replaced = 0
        var testDescription: String { name }
    }

    static let cases = [
        Case(name: "f32", base: "f32"), Case(name: "patterns-rslora-bf16", base: "bf16"),
        Case(name: "f16", base: "f16"), Case(name: "dora-f32", base: "f32", ulps: 4),
        Case(name: "fan-in-fan-out", base: "gpt2"), Case(name: "embeddings-and-head", base: "f32"),
        Case(name: "modules-to-save", base: "f32", replaced: 1), Case(name: "pair-biases", base: "f32", replaced: 2),
        Case(name: "nf4-double", base: "nf4-double"), Case(name: "nf4-single", base: "nf4-single"),
    ]

    @Test(arguments: cases) func bits(_ example: Case) throws {
        let folder = try TemporaryFolder()
        let base = try Merges.fixture("bases/\(example.base)")
        let adapter = try Merges.fixture("\(example.name)/adapter")
        let report = try Merges.merge(
            base, [adapter], to: folder.file("out"), options: MergeOptions(rounding: .plain))
        let old = try openCheckpoint(base)
        let new = try openCheckpoint(folder.file("out"))
        let peft = try SafetensorsFile(path: Merges.fixture("\(example.name)/merged.safetensors"))
        #expect(new.names.sorted() == old.names.sorted() && Set(peft.names).isSubset(of: new.names))
        for name in old.names {
            let before = try old.tensor(name)
            let ours = try #require(try new.tensor(name))
            let theirs = try #require(peft.tensor(name) ?? before)
            #expect(ours.type == theirs.type, "\(name)")
            if name.hasSuffix(NF4Tensor.Component.quantState.rawValue) {
                // Ours has room behind it; what it says is held below.
                continue
            }
            #expect(ours.shape == theirs.shape, "\(name)")
            if example.ulps == 0 || peft.tensor(name) == nil {
                #expect(ours.region.array == theirs.region.array, "\(name)")
            } else {
                let far = (0..<ours.shape.count).filter { index in
                    let bits = [ours, theirs].map {
                        $0.region.buffer.loadUnaligned(fromByteOffset: 4 * index, as: Int32.self)
                    }
                    return bits[0].distance(to: bits[1]).magnitude > example.ulps
                }
                #expect(far.isEmpty, "\(name) at \(far.prefix(3))")
            }
        }
        for weight in try CheckpointBase(path: base).weights where weight.storage == .nf4 {
            let ours = try NF4Tensor(named: weight.name, place: "ours") { (name) throws(CrayonError) in
                try new.tensor(name)
            }
            let theirs = try NF4Tensor(named: weight.name, place: "theirs") { (name) throws(CrayonError) in
                if let merged = peft.tensor(name) { return merged }
                return try old.tensor(name)
            }
            // PEFT quantizes a sum in float32, and has that for the weight's type; here it keeps the one that it had.
            var state = theirs.quantState
            state.sourceType = weight.type
            #expect(ours.quantState == state, "\(weight.name)")
            #expect(Merges.values(.nf4(ours)) == Merges.values(.nf4(theirs)), "\(weight.name)")
        }
        #expect(report.replaced.count == example.replaced && report.warnings.isEmpty)
        // A 4-bit weight is several tensors, and one line of the report.
        let changed = peft.names.filter { old.names.contains($0) && !$0.contains(".weight.") }
        #expect(Set(report.layers.map(\.name) + report.replaced) == Set(changed))
        // The small files lie beside it, and the report.
        let files = try Merges.files(in: folder.file("out"))
        #expect(Set(files.keys) == ["config.json", "merge_report.json", "model.safetensors"])
        #expect(try files["config.json"] == MappedFile(path: "\(base)/config.json").whole.array)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["out"])
    }

    /// A checkpoint that becomes dense has one type, and no word of 4 bits is left.
    @Test(
        arguments: ["bf16", "nf4-double"],
        [(MergeOptions.Target.bf16, "bfloat16"), (.f16, "float16"), (.f32, "float32")])
    func into(_ baseName: String, _ target: (MergeOptions.Target, String)) throws {
        let folder = try TemporaryFolder()
        let path = try Merges.fixture("bases/\(baseName)")
        let adapter = try Merges.fixture(baseName == "bf16" ? "patterns-rslora-bf16/adapter" : "nf4-double/adapter")
        func merged(_ into: MergeOptions.Target) throws -> CheckpointBase {
            let output = folder.file(into.rawValue)
            if !FileManager.default.fileExists(atPath: output) {
                try Merges.merge(path, [adapter], to: output, options: MergeOptions(into: into))
            }
            return try CheckpointBase(path: output)
        }
        let result = try merged(target.0)
        let whole = try merged(.f32)
        let base = try CheckpointBase(path: path)
        #expect(result.weights.map(\.name) == base.weights.map(\.name))
        #expect(result.weights.map(\.shape) == base.weights.map(\.shape))
        #expect(result.weights.allSatisfy { $0.type.rawValue == target.0.rawValue.uppercased() })
        #expect(result.checkpoint.names.count == result.weights.count)
        let config = try JSONReader(file: folder.file(target.0.rawValue) + "/config.json")
        #expect(config.object["quantization_config"] == nil && config.object["torch_dtype"] == nil)
        #expect(try config.string("dtype") == target.1)
        let modules = Dictionary(
            uniqueKeysWithValues: try openAdapter(adapter).modules.map { ("\($0.path).weight", $0) })
        for weight in base.weights {
            guard case .dense(let ours) = try result.stored(weight.name) else {
                Issue.record("4 bits in \(weight.name)")
                continue
            }
            let stored = try base.stored(weight.name)
            var values = Merges.values(stored)
            let delta = try modules[weight.name].map(Merges.delta) ?? [Double](repeating: 0, count: values.count)
            var isQuantized = false
            if case .nf4 = stored { isQuantized = true }
            if isQuantized, ours.type == stored.sourceType {
                // bitsandbytes gives 4-bit weights back in the type that they had, and PEFT adds to that.
                values = Merges.values(
                    .dense(ExtractionTests.tensor(values, shape: weight.shape, as: stored.sourceType)))
            } else {
                // One rounding of the sum in float32.
                let sums = try Merges.values(whole, weight.name)
                let rounded = ExtractionTests.tensor(sums, shape: weight.shape, as: ours.type)
                #expect(ours.region.array == rounded.region.array, "\(weight.name)")
            }
            // Half a unit in the last place of the type, and a few of float32's.
            let unit: Double = ours.type == .bf16 ? 0x1p-9 : ours.type == .f16 ? 0x1p-12 : 0
            let isNear = zip(Merges.values(.dense(ours)), zip(values, delta)).allSatisfy { value, parts in
                let sum = Double(parts.0) + parts.1
                return (Double(value) - sum).magnitude <= 2 * unit * sum.magnitude + 1e-6
            }
            #expect(isNear, "\(weight.name)")
        }
    }
}

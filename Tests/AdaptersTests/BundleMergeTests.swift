import Adapters
import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Conversion
import Foundation
import Models
import Quantization
import Tensors
import Testing

@Suite struct BundleMergeTests {
    private let style: [(name: String, path: String)] = [("style", Merges.style)]

    /// A set of the bundle's own that is merged goes; what the model answers stays, and is measured.
    @Test func ownSet() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("base.crayon")
        let bundle = try Merges.bundle(path, adapters: style, probes: [Merges.probe])
        #expect(bundle.probes.count == 1 && bundle.manifest.probes[0].relativeError != nil)
        let report = try Merges.merge(path, [path + ":style"], to: folder.file("out.crayon"))
        #expect(report.warnings.isEmpty)
        let output = try BundleReader(path: folder.file("out.crayon"))
        #expect(output.configuration.lowRankSets.isEmpty)
        #expect(!output.manifest.weights.contains { $0.part == .adapters })
        #expect(!output.files.contains { $0.name.hasPrefix("adapters/") })
        let measured = try #require(output.manifest.probes.first?.relativeError)
        let probe = try Probe(SafetensorsFile(path: Merges.probe), for: output.configuration)
        let error = Merges.relativeError(try Merges.logits(output), probe.logits)
        // The probe holds what the source gives here, which is what PEFT gives but for float32's rounding.
        #expect((measured - error).magnitude < 1e-4 && measured > 0)
    }

    /// Another model gives other answers: those recorded go, and that is said. Half of a set is no set either.
    @Test(arguments: [Merges.style, "base.crayon:style=0.5"]) func foreignAdapter(argument: String) throws {
        let folder = try TemporaryFolder()
        let path = folder.file("base.crayon")
        _ = try Merges.bundle(path, adapters: style, probes: [Merges.probe])
        let adapter = argument.hasPrefix("base") ? folder.file(argument) : argument
        let report = try Merges.merge(path, [adapter], to: folder.file("out.crayon"))
        #expect(report.warnings.contains { $0.hasPrefix("recorded answers are left out") })
        let output = try BundleReader(path: folder.file("out.crayon"))
        #expect(output.probes.isEmpty && output.manifest.probes.isEmpty)
        #expect(output.configuration.lowRankSets.map(\.name) == (argument.hasPrefix("base") ? [] : ["style"]))
    }

    /// At full precision the merged model answers as the one with the set beside its weights, and as PEFT does.
    @Test(arguments: [("f32", MergeOptions.Target.source), ("nf4", .f32)])
    func answersAtFullPrecision(backbone: String, into: MergeOptions.Target) throws {
        let folder = try TemporaryFolder()
        let path = folder.file("base.crayon")
        let bundle = try Merges.bundle(path, backbone: backbone == "f32" ? .f32 : .nf4, adapters: style)
        try Merges.merge(path, [path + ":style"], to: folder.file("out.crayon"), options: MergeOptions(into: into))
        let output = try BundleReader(path: folder.file("out.crayon"))
        let beside = try Merges.logits(bundle)
        let merged = try Merges.logits(output)
        #expect(Merges.relativeError(merged, beside) < 1e-5)
        let probe = try Probe(SafetensorsFile(path: Merges.probe), for: output.configuration)
        if backbone == "f32" { #expect(Merges.relativeError(merged, probe.logits) < 1e-5) }
        // The set does something.
        let plain = try Merges.bundle(folder.file("plain.crayon"), backbone: backbone == "f32" ? .f32 : .nf4)
        #expect(Merges.relativeError(try Merges.logits(plain), beside) > 0.01)
    }

    /// Beside the weights nothing is lost: the same numbers as in a bundle that was made with the set.
    @Test func beside() throws {
        let folder = try TemporaryFolder()
        let plain = try Merges.bundle(folder.file("plain.crayon"))
        let made = try Merges.bundle(folder.file("made.crayon"), adapters: style)
        let report = try Merges.merge(
            plain.place, [Merges.style], to: folder.file("out.crayon"), options: MergeOptions(rounding: .beside))
        #expect(report.beside == ["style"] && report.layers.isEmpty)
        let output = try BundleReader(path: folder.file("out.crayon"))
        #expect(output.configuration == made.configuration)
        #expect(try Merges.logits(output).values == Merges.logits(made).values)
        #expect(output.manifest.history.last?.options["rounding"] == "beside")
    }

    @Test func halvesMakeAWhole() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("base.crayon")
        _ = try Merges.bundle(path)
        let options = MergeOptions(into: .f32)
        try Merges.merge(path, [Merges.style], to: folder.file("once.crayon"), options: options)
        try Merges.merge(
            path, [Merges.style + "=0.5", Merges.style + "=0.5"], to: folder.file("twice.crayon"), options: options)
        let once = try openBase(path: folder.file("once.crayon"))
        let twice = try openBase(path: folder.file("twice.crayon"))
        for weight in once.weights {
            let pairs = zip(try Merges.values(once, weight.name), try Merges.values(twice, weight.name))
            #expect(pairs.allSatisfy { ($0 - $1).magnitude < 1e-6 }, "\(weight.name)")
        }
    }

    /// 4 bits from 16: the bytes that quantizing the merged checkpoint gives, from either side.
    @Test func fromSourceIsTheMergedCheckpointQuantized() throws {
        let folder = try TemporaryFolder()
        let bundle = try Merges.bundle(folder.file("base.crayon"))
        let source = try openBase(path: Merges.llama)
        try Merges.merge(
            bundle.place, [Merges.style], to: folder.file("bundle.crayon"), options: MergeOptions(source: source))
        try Merges.merge(Merges.llama, [Merges.style], to: folder.file("merged"))
        try Merges.convert(CheckpointModel.open(folder.file("merged")), to: folder.file("quantized.crayon"))
        let report = try Merges.merge(
            Merges.llama, [Merges.style], to: folder.file("straight.crayon"), options: MergeOptions(into: .nf4))
        let made = try ["bundle", "straight", "quantized"].map { try BundleReader(path: folder.file("\($0).crayon")) }
        for entry in made[2].manifest.weights {
            for component in entry.coding.components {
                let bytes = made.map { $0.tensor(entry.name + component.suffix)?.region.array }
                #expect(bytes[0] != nil && bytes[0] == bytes[2] && bytes[1] == bytes[2], "\(entry.name)")
            }
        }
        // The history says what was retained in the end, in 4 bits.
        #expect(report.layers.count == 12 && report.layers.allSatisfy { $0.method == .fromSource })
        #expect(report.layers.allSatisfy { (0.8...1.2).contains($0.retained) && $0.relativeError > 0.01 })
        let step = try #require(made[1].manifest.history.last)
        #expect(step.kind == "merge" && step.measures?.count == 12)
        for layer in report.layers { #expect(step.measures?[layer.name]?["retained"] == layer.retained) }
    }

    /// A checkpoint merged as it is gives the bundle of the merged folder, whatever its type.
    @Test(arguments: [true, false]) func intoSource(isOneFile: Bool) throws {
        let folder = try TemporaryFolder()
        let base = isOneFile ? try Merges.fixture("bases/f32") : Merges.llama
        let adapter = isOneFile ? try Merges.fixture("f32/adapter") : Merges.style
        try Merges.merge(base, [adapter], to: folder.file("merged"))
        try Merges.convert(
            CheckpointModel.open(folder.file("merged")), to: folder.file("converted.crayon"), backbone: .source)
        let report = try Merges.merge(base, [adapter], to: folder.file("straight.crayon"))
        let made = try ["straight", "converted"].map { try BundleReader(path: folder.file("\($0).crayon")) }
        for entry in made[1].manifest.weights {
            for component in entry.coding.components {
                let bytes = made.map { $0.tensor(entry.name + component.suffix)?.region.array }
                #expect(bytes[0] != nil && bytes[0] == bytes[1], "\(entry.name)")
            }
        }
        #expect(report.layers.allSatisfy { $0.method == .added && $0.relativeError < 1e-3 })
    }

    /// A bundle is made from 16-bit weights: bitsandbytes' 4-bit checkpoint is refused as it is when it is quantized, before
    /// anything is written, and becomes a bundle by way of merged 16-bit weights.
    @Test(arguments: MergeOptions.Target.allCases) func fourBitCheckpoint(into: MergeOptions.Target) throws {
        let folder = try TemporaryFolder()
        let (base, four) = (folder.file("base.crayon"), folder.file("four"))
        _ = try Export(Merges.bundle(base), options: ExportOptions(format: .bitsandbytes)).run(to: four)
        let output = folder.file("out.crayon")
        let error = crayonError {
            try Merges.merge(four, [Merges.style], to: output, options: MergeOptions(into: into))
        }
        #expect(error?.code == .unsupported)
        #expect(error?.found == "a weight that is already quantized (nf4)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() == ["base.crayon", "four"])

        guard ![.source, .nf4].contains(into) else { return }
        let merged = try Merges.merge(
            four, [Merges.style], to: folder.file("merged"), options: MergeOptions(into: into))
        #expect(merged.layers.count == 12 && merged.layers.allSatisfy { $0.method == .added && $0.retained > 0.99 })
        let bundle = try Merges.convert(CheckpointModel.open(folder.file("merged")), to: output, backbone: .source)
        #expect(bundle.manifest.weights.allSatisfy { $0.coding.kind != .nf4 })
    }
}

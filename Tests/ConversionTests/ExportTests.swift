import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Conversion
import Foundation
import Quantization
import Tensors
import Testing

private let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/models").path

private let parts = CheckpointParts(
    backbone: "\(fixtures)/parts/backbone", vision: "\(fixtures)/clip", crayon: "\(fixtures)/parts/crayon.safetensors",
    adapters: [("object", "\(fixtures)/parts/object"), ("language", "\(fixtures)/parts/language")])

/// The bytes of every weight.
private func values(_ model: CheckpointModel) throws -> [[UInt8]] {
    try model.bindings.map { try $0.tensor().region.array }
}

/// A bundle of a model in a fresh folder, and the path that an export may go to.
private func withBundle(
    _ model: CheckpointModel, _ assignments: String..., packs: Bool = true, blockSize: Int = 64, doubled: Bool = true,
    _ body: (BundleReader, String) throws -> Void
) throws {
    var plan = PrecisionPlan()
    for assignment in assignments { try plan.apply(assignment) }
    let quantizer = try NF4Quantizer(blockSize: blockSize, doubleQuantization: doubled)
    try withFolder { folder in
        let path = "\(folder)/model.crayon"
        let options = try BundleConversion.Options(
            plan: plan, quantizer: quantizer, int8Quantizer: Int8Quantizer(), packs: packs)
        _ = try BundleConversion(options: options).run(model, output: path)
        try body(BundleReader(path: path), "\(folder)/out")
    }
}

/// A weight as numbers of a type, made here from the bundle's codes.
private func dequantized(_ weight: StoredWeight?, as type: ElementType) throws -> [UInt8] {
    let weight = try #require(weight)
    let count = weight.shape.count
    let buffer = ByteBuffer(count: count * type.byteCount)
    switch weight {
    case .nf4(let tensor): tensor.dequantize(elements: 0..<count, as: type, into: buffer.pointer)
    case .int8(let tensor): tensor.dequantize(elements: 0..<count, as: type, into: buffer.pointer)
    case .dense: Issue.record("not quantized")
    }
    return buffer.region.array
}

@Suite struct LosslessExportTests {
    @Test(arguments: ["golden/collavo-tiny", "collavo-grouped", "llama", "qwen2", "internlm2-plain"], [true, false])
    func givesTheSourceBackByteForByte(fixture: String, packs: Bool) throws {
        let model = try CheckpointModel.open("\(fixtures)/\(fixture)")
        try withBundle(model, "backbone=source", packs: packs) { bundle, out in
            if fixture == "golden/collavo-tiny" {
                #expect(bundle.manifest.weights.contains { $0.coding.kind == .packed } == packs)
            }
            let report = try Export(bundle).run(to: out)
            #expect(report.warnings.isEmpty)
            let source = try openCheckpoint("\(fixtures)/\(fixture)")
            let exported = try openCheckpoint(out)
            #expect(Set(exported.names) == Set(model.bindings.map(\.sourceName)))
            for name in exported.names {
                let (ours, theirs) = (try #require(try exported.tensor(name)), try #require(try source.tensor(name)))
                #expect(ours.type == theirs.type && ours.shape == theirs.shape)
                #expect(ours.region.array == theirs.region.array, "\(name)")
            }
            for file in model.files {
                #expect(try Data(contentsOf: URL(filePath: "\(out)/\(file.name)")) == Data(file.region.array))
            }
            #expect(try Set(report.files) == Set(contents(of: out).keys))
        }
    }

    @Test func shardsHaveTheGivenSizeAndOpenAsAModel() throws {
        let model = try CheckpointModel.open("\(fixtures)/golden/collavo-tiny")
        try withBundle(model, "backbone=source") { bundle, out in
            let report = try Export(bundle, options: ExportOptions(shardLimit: 1_000_000)).run(to: out)
            let shards = report.files.filter { $0.hasSuffix(".safetensors") }
            #expect(shards.count > 4)
            #expect(report.files.last == "model.safetensors.index.json")
            for shard in shards {
                let size = try openCheckpoint("\(out)/\(shard)").names.count
                let bytes = try Data(contentsOf: URL(filePath: "\(out)/\(shard)")).count
                // A tensor that is larger has a shard of its own.
                #expect(size == 1 || bytes < 1_000_000 + 20_000)
            }
            let reopened = try CheckpointModel.open(out)
            #expect(reopened.bindings.map(\.sourceName) == model.bindings.map(\.sourceName))
            #expect(try values(reopened) == values(model))
        }
    }

    @Test func partsGoToFoldersThatOpenAgain() throws {
        let options = CheckpointOptions(imageSize: 42)
        let model = try CheckpointModel.open(parts, options: options)
        try withBundle(model, "backbone=source") { bundle, out in
            _ = try Export(bundle).run(to: out)
            let again = try CheckpointModel.open(
                CheckpointParts(
                    backbone: out, vision: "\(out)/vision", crayon: "\(out)/crayon/model.safetensors",
                    adapters: [("object", "\(out)/adapters/object"), ("language", "\(out)/adapters/language")]),
                options: options)
            #expect(again.configuration == model.configuration)
            #expect(again.bindings.map(\.role) == model.bindings.map(\.role))
            #expect(try values(again) == values(model))
            #expect(FileManager.default.fileExists(atPath: "\(out)/adapters/language/adapter_model.safetensors"))
        }
    }

    @Test(arguments: ExportOptions.DequantizedType.allCases)
    func quantizedWeightsComeBackAsNumbers(type: ExportOptions.DequantizedType) throws {
        let model = try CheckpointModel.open("\(fixtures)/collavo-grouped")
        try withBundle(model, "head=int8", "embeddings=f32", "vision=nf4", blockSize: 32) { bundle, out in
            _ = try Export(bundle, options: ExportOptions(type: type)).run(to: out)
            let exported = try openCheckpoint(out)
            var counts: [BundleCoding.Kind: Int] = [:]
            for entry in bundle.manifest.weights {
                let tensor = try #require(try exported.tensor(entry.sourceName))
                counts[entry.coding.kind, default: 0] += 1
                switch entry.coding.kind {
                case .nf4, .fp4, .int8:
                    let expected: ElementType =
                        switch type {
                        case .source: .bf16
                        case .f32: .f32
                        case .f16: .f16
                        case .bf16: .bf16
                        }
                    #expect(tensor.type == expected)
                    #expect(try tensor.region.array == dequantized(bundle.weight(entry.role), as: expected))
                case .plain, .packed:
                    #expect(tensor.type == (entry.part == .embeddings ? .f32 : .bf16))
                    guard case .dense(let stored)? = try bundle.weight(entry.role) else { continue }
                    #expect(tensor.region.array == stored.region.array)
                }
            }
            #expect(counts[.nf4, default: 0] > 10)
            #expect(counts[.int8] == 1)
        }
    }
}

@Suite struct ExportFolderTests {
    @Test func refusesAFolderInUseUnlessTold() throws {
        let model = try CheckpointModel.open("\(fixtures)/llama")
        try withBundle(model, "backbone=source") { bundle, out in
            _ = try Export(bundle, options: ExportOptions(shardLimit: 20_000)).run(to: out)
            let bystander = "\(out)/probe.safetensors"
            try SafetensorsWriter.write([Tensor(name: "x", bytes: [1])], to: bystander)
            let before = try contents(of: out)
            #expect(before.keys.count { $0.hasPrefix("model-0") } > 3)
            #expect(throws: CrayonError.self) { try Export(bundle).run(to: out) }
            #expect(try contents(of: out) == before)

            _ = try Export(bundle, options: ExportOptions(overwrites: true)).run(to: out)
            let after = try contents(of: out)
            #expect(Set(after.keys) == ["model.safetensors", "config.json", "probe.safetensors"])
            #expect(after["probe.safetensors"] == before["probe.safetensors"])
        }
    }

    @Test func refusesToReplaceASmallFile() throws {
        let model = try CheckpointModel.open("\(fixtures)/llama")
        try withBundle(model, "backbone=source") { bundle, out in
            try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true)
            try Data("mine".utf8).write(to: URL(filePath: "\(out)/config.json"))
            #expect(throws: CrayonError.self) { try Export(bundle).run(to: out) }
            #expect(try contents(of: out) == ["config.json": Data("mine".utf8)])
        }
    }

    @Test func damageLeavesNothingBehind() throws {
        let model = try CheckpointModel.open("\(fixtures)/golden/collavo-tiny")
        try withBundle(model, "backbone=source") { bundle, out in
            let packed = try #require(bundle.manifest.weights.last { $0.coding.kind == .packed })
            let range = try #require(bundle.safetensors.range(of: packed.name))
            var bytes = try Data(contentsOf: URL(filePath: bundle.place))
            // The table of block sizes stands at the end.
            for index in range.suffix(8) { bytes[index] ^= 0x5A }
            let damaged = bundle.place + ".damaged"
            try bytes.write(to: URL(filePath: damaged))
            let error = #expect(throws: CrayonError.self) {
                try Export(BundleReader(path: damaged)).run(to: "\(out)/deep/er")
            }
            #expect(error?.description.contains(packed.name) == true)
            #expect(!FileManager.default.fileExists(atPath: out))
        }
    }

    @Test func progressEndsAtTheTotal() throws {
        let model = try CheckpointModel.open("\(fixtures)/llama")
        try withBundle(model) { bundle, out in
            let counter = ProgressCounter()
            let report = try Export(bundle).run(to: out) { counter.add($0) }
            #expect(counter.largest == report.byteCount)
            #expect(report.byteCount == model.bindings.reduce(0) { $0 + $1.entry.byteCount })
        }
    }
}

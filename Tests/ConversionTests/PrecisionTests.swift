import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Conversion
import Foundation
import Kernels
import Quantization
import Tensors
import Testing

private let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/models").path

/// What the plan says is what the bundle holds, weight by weight.
@Suite struct PrecisionTests {
    /// What a weight must have become, worked out from the whole tensor at once.
    private func expected(
        _ binding: Binding, _ format: WeightFormat, quantizer: NF4Quantizer, int8Quantizer: Int8Quantizer
    ) throws -> StoredWeight {
        let tensor = try binding.tensor()
        func cast(_ type: ElementType) -> StoredWeight {
            let bytes = encoded(decoded(tensor), as: type)
            return .dense(Tensor(name: "", type: type, shape: tensor.shape, region: ByteRegion(copying: bytes)))
        }
        switch format {
        case .source: return .dense(tensor)
        case .f32: return cast(.f32)
        case .f16: return cast(.f16)
        case .bf16: return cast(.bf16)
        case .nf4: return binding.isMatrix ? .nf4(try quantizer.quantize(tensor)) : .dense(tensor)
        case .int8: return binding.isMatrix ? .int8(try int8Quantizer.quantize(tensor)) : .dense(tensor)
        }
    }

    private func check(
        _ model: CheckpointModel, _ path: String, quantizer: NF4Quantizer = try! NF4Quantizer(),
        int8Quantizer: Int8Quantizer = try! Int8Quantizer(), format: (Part) -> WeightFormat
    ) throws {
        let bundle = try BundleReader(path: path)
        #expect(bundle.verifyDigests().isEmpty)
        #expect(bundle.configuration == model.configuration)
        #expect(bundle.manifest.weights.count == model.bindings.count)
        for binding in model.bindings {
            let stored = try #require(try bundle.weight(binding.role))
            let wanted = try expected(
                binding, format(binding.part), quantizer: quantizer, int8Quantizer: int8Quantizer)
            #expect(stored.shape == binding.shape && stored.sourceType == wanted.sourceType, "\(binding.role)")
            #expect(stored.components == wanted.components, "\(binding.role)")
            #expect(bundle.entry(binding.role)?.coding.sourceType == binding.type)
        }
    }

    @Test(arguments: Part.allCases, WeightFormat.allCases)
    func everyFormatOfEveryPart(part: Part, format: WeightFormat) throws {
        let model = try CheckpointModel.open("\(fixtures)/collavo-grouped")
        try withFolder { folder in
            let path = "\(folder)/m.crayon"
            let manifest = try convert(model, to: path, ["backbone=source", "\(part)=\(format)"])
            #expect(manifest.history[0].options["precision.\(part)"] == format.rawValue)
            #expect(manifest.weights.contains { $0.part == part })
            try check(model, path) { $0 == part ? format : .source }
        }
    }

    @Test(arguments: PrecisionPlan.Profile.allCases) func everyProfile(_ profile: PrecisionPlan.Profile) throws {
        let model = try CheckpointModel.open("\(fixtures)/collavo-grouped")
        let plan = PrecisionPlan(profile)
        try withFolder { folder in
            try convert(model, to: "\(folder)/m.crayon", profile: profile)
            try check(model, "\(folder)/m.crayon") { plan[$0] }
        }
    }

    /// One part of each source type that a layout's file can have.
    @Test(arguments: [ElementType.f64, .f32, .f16, .bf16], [WeightFormat.nf4, .int8, .source, .f32, .bf16])
    func everySourceType(type: ElementType, format: WeightFormat) throws {
        try withFolder { folder in
            try LlamaFolder(type: type).write(to: folder)
            let model = try CheckpointModel.open(folder)
            try convert(model, to: "\(folder)/m.crayon", ["backbone=\(format)", "embeddings=\(format)"])
            try check(model, "\(folder)/m.crayon") { _ in format }
        }
    }

    @Test(arguments: NF4Tensor.blockSizes, [true, false]) func everyBlockSize(blockSize: Int, doubled: Bool) throws {
        let model = try CheckpointModel.open("\(fixtures)/collavo-grouped")
        let quantizer = try NF4Quantizer(blockSize: blockSize, doubleQuantization: doubled)
        let int8Quantizer = try Int8Quantizer(blockSize: blockSize)
        try withFolder { folder in
            let manifest = try convert(
                model, to: "\(folder)/m.crayon", ["vision=int8"], quantizer: quantizer, int8Quantizer: int8Quantizer)
            #expect(manifest.history[0].options["block_size"] == "\(blockSize)")
            try check(model, "\(folder)/m.crayon", quantizer: quantizer, int8Quantizer: int8Quantizer) {
                switch $0 {
                case .backbone: .nf4
                case .vision: .int8
                default: .source
                }
            }
        }
    }

    @Test func exactNearestScaleCodes() throws {
        let model = try CheckpointModel.open("\(fixtures)/golden/collavo-tiny")
        let quantizer = try NF4Quantizer(scaleCodes: .exactNearest)
        try withFolder { folder in
            let manifest = try convert(model, to: "\(folder)/exact.crayon", quantizer: quantizer)
            try check(model, "\(folder)/exact.crayon", quantizer: quantizer) { $0 == .backbone ? .nf4 : .source }
            #expect(manifest.history[0].options["scale_codes"] == "exact-nearest")
            let usual = try convert(model, to: "\(folder)/usual.crayon")
            let changed = manifest.digests.filter { usual.digests[$0.key] != $0.value }.keys
            // The two rules differ in some scale codes and in nothing else.
            #expect(!changed.isEmpty && changed.allSatisfy { $0.hasSuffix(".absmax") }, "\(changed.sorted())")
        }
    }

    /// Several chunks, several groups of chunks, a last block that is short: streaming gives what the whole gives.
    @Test(arguments: [WeightFormat.nf4, .int8, .source, .f16])
    func tensorsOfSeveralGroups(format: WeightFormat) throws {
        try withFolder { folder in
            // 17.1 million elements; a group has 16.8 million.
            try LlamaFolder(vocabulary: 16_811, hidden: 1020).write(to: folder)
            let model = try CheckpointModel.open(folder)
            #expect(try #require(model.bindings.map(\.shape.count).max()) > 1 << 24)
            try convert(model, to: "\(folder)/m.crayon", ["embeddings=\(format)", "backbone=source"])
            try check(model, "\(folder)/m.crayon") { $0 == .embeddings ? format : .source }
        }
    }
}

/// The golden checkpoint through the whole conversion: bitsandbytes' bits in the bundle's tensors.
@Suite struct GoldenBundleTests {
    @Test func bitsandbytesBits() throws {
        let expected = try SafetensorsFile(path: "\(fixtures)/golden/nf4-expected.safetensors")
        let model = try CheckpointModel.open(
            "\(fixtures)/golden/collavo-tiny", options: CheckpointOptions(visionHeadCount: 6))
        try withFolder { folder in
            try convert(model, to: "\(folder)/m.crayon")
            let bundle = try BundleReader(path: "\(folder)/m.crayon")
            let names = bundle.manifest.weights.filter { $0.coding.kind == .nf4 }.map(\.name)
            #expect(
                Set(names.flatMap { [$0, "\($0).absmax", "\($0).nested_absmax", "\($0).offset"] })
                    == Set(expected.names))
            for name in names {
                for suffix in ["", ".absmax", ".nested_absmax"] {
                    let ours = try #require(bundle.tensor(name + suffix))
                    let theirs = try #require(expected.tensor(name + suffix))
                    #expect(ours.type == theirs.type && ours.shape == theirs.shape, "\(name)\(suffix)")
                    #expect(ours.region.array == theirs.region.array, "\(name)\(suffix)")
                }
                let entry = try #require(bundle.manifest.weights.first { $0.name == name })
                guard case .nf4(let tensor)? = try bundle.weight(entry.role), case .double(let scales) = tensor.scales
                else {
                    Issue.record("\(name) is not doubly quantized")
                    continue
                }
                #expect([scales.offset] == decoded(try #require(expected.tensor("\(name).offset"))), "\(name)")
            }
        }
    }
}

/// Threads are a matter of speed alone.
@Suite(.serialized) struct ThreadCountTests {
    @Test(arguments: PrecisionPlan.Profile.allCases) func sameBytes(profile: PrecisionPlan.Profile) throws {
        let model = try CheckpointModel.open("\(fixtures)/collavo-grouped")
        let saved = Parallel.threadCount
        defer { Parallel.threadCount = saved }
        try withFolder { folder in
            for threads in [1, 2, 7] {
                Parallel.threadCount = threads
                try convert(model, to: "\(folder)/\(threads).crayon", profile: profile, probes: ["builtin"])
            }
            let files = try contents(of: folder)
            #expect(files["1.crayon"] == files["2.crayon"] && files["1.crayon"] == files["7.crayon"])
            #expect(files.count == 3)
        }
    }
}

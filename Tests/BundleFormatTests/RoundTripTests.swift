import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Quantization
import Tensors
import Testing

@Suite struct RoundTrip {
    @Test func everyWeightComesBack() throws {
        let folder = try TemporaryFolder()
        let written = try TinyModel.write(to: folder("a.crayon"))
        let bundle = try BundleReader(path: folder("a.crayon"))
        #expect(bundle.manifest == written)
        #expect(bundle.configuration == TinyModel.configuration)
        #expect(bundle.manifest.history == TinyModel.history)
        #expect(bundle.verifyDigests().isEmpty)
        let weights = try TinyModel.weights()
        #expect(Set(weights.map(\.0.coding.kind)).count == BundleCoding.Kind.allCases.count)
        for (entry, weight) in weights {
            let read = try #require(try bundle.weight(entry.role))
            switch (read, weight) {
            case (.dense(let read), .dense(let weight)):
                #expect(read.type == weight.type && read.shape == weight.shape)
                #expect(read.region.array == weight.region.array, "\(entry.role)")
            case (.nf4(let read), .nf4(let weight)):
                for (read, weight) in zip(read.components(named: "x"), weight.components(named: "x")) {
                    #expect(read.region.array == weight.region.array, "\(entry.role)\(read.name)")
                }
            case (.int8(let read), .int8(let weight)):
                for (read, weight) in zip(read.components(named: "x"), weight.components(named: "x")) {
                    #expect(read.region.array == weight.region.array, "\(entry.role)\(read.name)")
                }
            default:
                Issue.record("\(entry.role) is stored otherwise")
            }
        }
        #expect(try bundle.weight(Role("vision.class_embedding")) == nil)
        #expect(bundle.files.map(\.name) == TinyModel.files.map(\.name))
        #expect(bundle.file("config.json")?.region.array == TinyModel.files[0].region.array)
        #expect(bundle.probes.count == 1)
        #expect(try bundle.probes[0]["input_ids"]?.integers(in: "") == [1, 5, 7])
        #expect(bundle.probes[0]["labels"] == nil)
    }

    @Test func mappedTensorsAreAligned() throws {
        let folder = try TemporaryFolder()
        try TinyModel.write(to: folder("a.crayon"))
        let bundle = try BundleReader(path: folder("a.crayon"))
        let file = bundle.safetensors
        #expect(file.dataOffset % 4096 == 0)
        for entry in bundle.manifest.weights {
            #expect(try #require(file.range(of: entry.name)).lowerBound % 64 == 0)
        }
        // Biases and norms of 16 elements leave gaps, which only padding tensors may fill.
        #expect(file.names.contains("crayon.pad.0"))
    }

    @Test func sectionsAddUp() throws {
        let folder = try TemporaryFolder()
        let manifest = try TinyModel.write(to: folder("a.crayon"))
        let file = try SafetensorsFile(path: folder("a.crayon"))
        #expect(manifest.sections.reduce(0) { $0 + $1.bytes } == file.mapping.count - file.dataOffset)
        #expect(manifest.sections.reduce(0) { $0 + $1.tensors } == file.names.count)
        #expect(
            Set(manifest.sections.map(\.name)) == [
                "embeddings", "backbone", "head", "adapters", "files", "probes", "padding",
            ])
    }

    @Test func sameInputSameBytes() throws {
        let folder = try TemporaryFolder()
        try TinyModel.write(to: folder("a.crayon"))
        try TinyModel.write(to: folder("b.crayon"))
        #expect(try folder.bytes("a.crayon") == folder.bytes("b.crayon"))
    }

    @Test func droppedWriterLeavesNothing() throws {
        let folder = try TemporaryFolder()
        let weights = try TinyModel.weights()
        do {
            let writer = try BundleWriter(
                path: folder("a.crayon"),
                manifest: BundleManifest(
                    model: TinyModel.configuration, history: TinyModel.history, weights: weights.map(\.0)))
            try writer.append(weights[0].1, of: weights[0].0)
            #expect(folder.names.count == 1)
        }
        #expect(folder.names.isEmpty)
    }

    @Test func refusesWhatReadersWould() throws {
        let folder = try TemporaryFolder()
        let weights = try TinyModel.weights().map(\.0)
        func write(_ change: (inout BundleManifest) -> Void, files: [AuxiliaryFile] = []) -> CrayonError? {
            var manifest = BundleManifest(model: TinyModel.configuration, history: [], weights: weights)
            change(&manifest)
            return #expect(throws: CrayonError.self) {
                _ = try BundleWriter(path: folder("a.crayon"), manifest: manifest, files: files)
            }
        }
        #expect(write { $0.weights[0].name = $0.weights[1].name }?.found == "a name that two tensors would have")
        #expect(write { $0.weights[0].name = "crayon.file.x" }?.found == "a reserved name")
        #expect(write { $0.weights[0].coding.shape = [Int.max, 4] } != nil)
        #expect(write({ _ in }, files: [AuxiliaryFile(name: "../x", region: ByteRegion(copying: []))]) != nil)
        #expect(folder.names.isEmpty)
    }
}

import Architecture
import Bytes
import Checkpoints
import JSON
import Tensors
import Testing

@Suite struct AdapterTests {
    private func open(_ adapter: String, over base: String) throws -> CheckpointModel {
        try CheckpointModel.open(CheckpointParts(backbone: base, adapters: [("set", adapter)]))
    }

    @Test func validSamples() throws {
        let samples = try Samples("peft")
        #expect(!samples.valid.isEmpty)
        for (name, holds) in samples.valid {
            let path = samples.path(valid: name)
            let model = try open(path, over: "\(samples.root)/base")
            let set = try #require(model.configuration.lowRankSets.first)
            #expect(set.scope == .all && set.input == .hidden && set.isActive, "\(name)")
            let file = try SafetensorsFile(path: "\(path)/adapter_model.safetensors")
            var pairs: Set<String> = []
            for binding in model.bindings where binding.part == .adapters {
                #expect(try binding.tensor().region.array == file.tensor(binding.sourceName)?.region.array, "\(name)")
                pairs.insert(String(binding.role.rawValue.dropFirst("adapters.set.".count).dropLast(".a.weight".count)))
            }
            #expect(pairs == Set(holds.object.names), "\(name)")
            for pair in holds.object.names {
                let expected = try holds.object(pair)
                let parts = pair.split(separator: ".")
                let layer = try #require(Int(parts[1]))
                let module = try #require(BackboneModule(rawValue: parts.dropFirst(2).joined(separator: ".")))
                #expect(set.modules.contains(module), "\(name): \(pair)")
                #expect(set.rank(layer: layer, module: module) == (try expected.int("rank")), "\(name): \(pair)")
                #expect(
                    set.scale(layer: layer, module: module) == Float(try expected.double("scale")), "\(name): \(pair)")
            }
        }
    }

    @Test func invalidSamples() throws {
        let samples = try Samples("peft")
        samples.expectErrors { _ = try open($0, over: "\(samples.root)/base") }
    }

    /// The base that the invalid samples are refused over is itself taken.
    @Test func baseOpens() throws {
        let model = try CheckpointModel.open(Samples("peft").root + "/base")
        #expect(model.configuration.layout == "llama" && model.configuration.backbone.isHeadTied)
    }
}

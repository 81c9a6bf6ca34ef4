import Adapters
import Architecture
import Bytes
import Checkpoints
import Foundation
import JSON
import Testing

@Suite struct OpenAdaptersTests {
    private let published = Samples.models + "/golden/collavo-tiny"

    @Test func foldersAndTheirTensors() throws {
        let path = Samples.path(valid: "plain")
        for argument in [path, path + "/", path + "/adapter_model.safetensors"] {
            let adapters = try openAdapters(argument)
            #expect(adapters.map(\.name) == ["plain"] && adapters[0].modules.count == 4, "\(argument)")
        }
        let missing = crayonError { _ = try openAdapters(path + "-no") }
        #expect(missing?.code == .missing && missing?.description.contains("no such file") == true)
    }

    /// A path with a colon in it is taken as it is if it is there.
    @Test func colons() throws {
        let folder = try TemporaryFolder()
        try FileManager.default.copyItem(atPath: Samples.path(valid: "plain"), toPath: folder.file("a:b"))
        #expect(try openAdapters(folder.file("a:b")).map(\.name) == ["a:b"])
        #expect(try openAdapters(published + ":crayon").map(\.name) == ["crayon"])
        let error = crayonError { _ = try openAdapters(published + ":vl") }
        #expect(
            error?.description.contains("set 'vl': nothing of that name; expected one of 'image', 'crayon'") == true)
    }

    @Test func publishedPairs() throws {
        let sets = try openAdapters(published)
        #expect(sets.map(\.name) == ["image", "crayon"])
        #expect(sets[0].scope == .image && sets[0].input == .hidden && sets[1].input == .crayon)
        #expect(sets.allSatisfy { $0.reasonAgainstMerging != nil })
        let base = try openBase(path: published)
        for set in sets { try set.check(against: base) }
        let paths = sets[0].modules.map(\.path)
        #expect(paths.contains("model.layers.0.feed_forward.w2.Plora_main"))
        #expect(paths.contains("model.layers.1.attention.wqkv.Plora_main"))
        #expect(!sets[1].modules.contains { $0.path.contains(".w2.") })
    }

    @Test func modelsWithoutSets() throws {
        let error = crayonError { _ = try openAdapters(Samples.models + "/llama") }
        #expect(error?.description.contains("a model without low-rank sets") == true)
    }

    /// A folder with the tensors alone is refused for what it lacks, not for being no model.
    @Test func tensorsAlone() throws {
        let folder = try TemporaryFolder()
        try FileManager.default.copyItem(
            atPath: Samples.path(valid: "plain") + "/adapter_model.safetensors",
            toPath: folder.file("adapter_model.safetensors"))
        let error = crayonError { _ = try openAdapters(folder.path) }
        #expect(error?.description.contains("adapter_config.json: nothing") == true)
    }

    /// Pairs that act at image positions go into a folder that peft and others that look at names refuse, and come back.
    @Test func restrictedSetsAsFolders() throws {
        let folder = try TemporaryFolder()
        for set in try openAdapters(published) {
            let path = folder.file(set.name)
            try PEFTFolder.write(set, to: path)
            let configuration = try JSONReader(file: path + "/adapter_config.json")
            #expect(try configuration.string("peft_type") == "CRAYON_LORA")
            #expect(try configuration.object("crayon").string("positions") == "image")
            #expect(try configuration.object("crayon").string("input") == set.input.rawValue)
            let names = try SafetensorsFile(path: path + "/adapter_model.safetensors").names
            #expect(!names.isEmpty && names.allSatisfy { !$0.contains(".lora_A.") && !$0.contains(".lora_B.") })
            try expectSame(try openAdapters(path)[0], set)
            // Neither does the runtime take them for plain pairs.
            let error = crayonError {
                _ = try CheckpointModel.open(
                    CheckpointParts(backbone: Samples.models + "/internlm2-plain", adapters: [("set", path)]))
            }
            #expect(error?.description.contains("key 'peft_type'") == true)
        }
    }
}

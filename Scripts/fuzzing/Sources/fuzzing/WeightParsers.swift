import CrayonKit
import Foundation

/// Any file with tensors, told by its contents.
struct Weights: Parser {
    let file: InputFile
    init(_ file: InputFile) { self.file = file }

    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        file.write(bytes)
        try openWeights(file.path).readAll()
    }
}

/// A decoder in a GGUF file, with its tokenizer.
struct GGUFModel: Parser {
    let file: InputFile
    init(_ file: InputFile) { self.file = file }

    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        file.write(bytes)
        let model = try CheckpointModel.open(file.path)
        for binding in model.bindings { _ = try binding.tensor() }
    }
}

struct Bundle: Parser {
    let file: InputFile
    init(_ file: InputFile) { self.file = file }

    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        file.write(bytes)
        let bundle = try BundleReader(path: file.path)
        _ = bundle.verifyDigests()
        for entry in bundle.manifest.weights { _ = try? bundle.weight(entry.role) }
        for file in bundle.files { file.region.buffer.touch() }
    }
}

/// A folder of shards: the input is the index, one shard is there.
struct ShardIndex: Parser {
    private let folder: String
    private let index: InputFile

    init(folder: String) throws {
        self.folder = "\(folder)/shards"
        try FileManager.default.createDirectory(atPath: self.folder, withIntermediateDirectories: true)
        index = InputFile("\(self.folder)/model.safetensors.index.json")
        for shard in ["model-00001-of-00002.safetensors", "a.safetensors"] {
            try SafetensorsWriter.write(
                [Tensor(name: "a", shape: Shape([2]), values: [Float](arrayLiteral: 1, 2))], to: "\(self.folder)/\(shard)")
        }
    }

    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        index.write(bytes)
        try openWeights(folder).readAll()
    }
}

/// An adapter's folder: the input is its configuration, the pairs are there.
struct AdapterFolder: Parser {
    private let folder: String
    private let configuration: InputFile

    init(folder: String) throws {
        self.folder = "\(folder)/adapter"
        try FileManager.default.createDirectory(atPath: self.folder, withIntermediateDirectories: true)
        configuration = InputFile("\(self.folder)/adapter_config.json")
        let pair = ["lora_A.weight": [2, 4], "lora_B.weight": [4, 2]].map { name, dims in
            Tensor(
                name: "base_model.model.model.layers.0.self_attn.q_proj.\(name)", shape: Shape(dims),
                values: [Float](repeating: 1, count: 8))
        }
        try SafetensorsWriter.write(pair, to: "\(self.folder)/adapter_model.safetensors")
    }

    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        configuration.write(bytes)
        _ = try PEFTFolder.read(path: folder)
    }
}

/// A model's folder: the input is config.json, the weights are a fixture's.
struct ModelFolder: Parser {
    private let folder: String
    private let configuration: InputFile

    init(folder: String) throws {
        self.folder = "\(folder)/model"
        try FileManager.default.createDirectory(atPath: self.folder, withIntermediateDirectories: true)
        try FileManager.default.copyItem(
            atPath: Repository.path("Tests/Fixtures/models/llama-bias/model.safetensors"),
            toPath: "\(self.folder)/model.safetensors")
        configuration = InputFile("\(self.folder)/config.json")
    }

    func parse(_ bytes: UnsafeRawBufferPointer) throws(CrayonError) {
        configuration.write(bytes)
        _ = try CheckpointModel.open(folder)
    }
}

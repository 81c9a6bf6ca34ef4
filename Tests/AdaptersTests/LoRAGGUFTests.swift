import Adapters
import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Foundation
import Tensors
import Testing

/// A GGUF file as far as it is needed here, read apart from the writer.
struct GGUFFile {
    var strings: [String: String] = [:]
    var floats: [String: Float] = [:]
    /// Extents innermost first, as they lie in the file.
    var tensors: [String: (dims: [Int], values: [Float])] = [:]

    init(path: String) throws {
        let bytes = try MappedFile(path: path).whole.array
        var position = 0
        func integer(_ size: Int) -> Int {
            defer { position += size }
            return (0..<size).reversed().reduce(0) { $0 << 8 | Int(bytes[position + $1]) }
        }
        func text() -> String {
            let count = integer(8)
            defer { position += count }
            return String(decoding: bytes[position..<position + count], as: UTF8.self)
        }
        try #require(Array("GGUF".utf8) == Array(bytes[..<4]))
        position = 4
        try #require(integer(4) == 3)
        let tensorCount = integer(8)
        for _ in 0..<integer(8) {
            let name = text()
            switch integer(4) {
            case 4: _ = integer(4)
            case 6: floats[name] = Float(bitPattern: UInt32(integer(4)))
            case 8: strings[name] = text()
            default: Issue.record("\(name) has another kind")
            }
        }
        var entries: [(name: String, dims: [Int], offset: Int)] = []
        for _ in 0..<tensorCount {
            let name = text()
            let dims = (0..<integer(4)).map { _ in integer(8) }
            try #require(integer(4) == 0)
            entries.append((name, dims, integer(8)))
        }
        let start = (position + 31) / 32 * 32
        for entry in entries {
            try #require(entry.offset % 32 == 0)
            position = start + entry.offset
            let values = (0..<entry.dims.reduce(1, *)).map { _ in Float(bitPattern: UInt32(integer(4))) }
            tensors[entry.name] = (entry.dims, values)
        }
        #expect(bytes.count % 32 == 0 && position <= bytes.count)
    }
}

@Suite struct LoRAGGUFTests {
    private let base = Samples.models + "/llama"

    private func convert(_ adapter: Adapter, over base: String) throws -> GGUFFile {
        let folder = try TemporaryFolder()
        try LoRAGGUF.write(adapter, over: openModel(path: base), to: folder.file("lora.gguf"))
        return try GGUFFile(path: folder.file("lora.gguf"))
    }

    /// `style` has alphas and ranks of its own: llama.cpp's alpha over the rank of B must give each pair's scale.
    @Test func scalesAndRows() throws {
        let adapter = try PEFTFolder.read(path: Samples.models + "/llama-lora/style")
        let backbone = try openModel(path: base).configuration.backbone
        let file = try convert(adapter, over: base)
        #expect(file.strings["general.type"] == "adapter" && file.strings["adapter.type"] == "lora")
        #expect(file.strings["general.architecture"] == "llama" && file.strings["general.name"] == "style")
        let alpha = try #require(file.floats["adapter.lora.alpha"])
        let parts = [
            "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output",
            "gate_proj": "ffn_gate",
            "up_proj": "ffn_up", "down_proj": "ffn_down",
        ]
        #expect(file.tensors.count == 2 * adapter.modules.count)
        for module in adapter.modules {
            let path = module.path.split(separator: ".").map(String.init)
            let part = try #require(path.last.flatMap { parts[$0] })
            let name = "blk.\(path[2]).\(part).weight"
            let a = try #require(file.tensors[name + ".lora_a"])
            let b = try #require(file.tensors[name + ".lora_b"])
            let rank = module.rank
            #expect(a.dims == [module.a.shape[1], rank] && b.dims == [rank, module.b.shape[0]], "\(name)")
            #expect(a.values == floats(try module.a.tensor()), "\(name)")
            let expected = floats(try module.b.tensor())
            let size = backbone.headSize
            for row in 0..<module.b.shape[0] {
                // llama.cpp's row 2 j + p of a head is the checkpoint's row p size / 2 + j.
                let isTurned = part == "attn_q" || part == "attn_k"
                let within = row % size
                let source = isTurned ? row - within + within % 2 * (size / 2) + within / 2 : row
                for column in 0..<rank {
                    let found = Double(b.values[row * rank + column]) * Double(alpha) / Double(rank)
                    let wanted = Double(expected[source * rank + column]) * module.scale
                    #expect(abs(found - wanted) <= 2e-7 * abs(wanted), "\(name) \(row) \(column)")
                }
            }
        }
    }

    @Test func whatLlamaCppHasNot() throws {
        let image = try openAdapter(Samples.models + "/golden/collavo-tiny:image")
        let restricted = crayonError { _ = try convert(image, over: Samples.models + "/golden/collavo-tiny") }
        #expect(restricted?.description.contains("image positions only") == true)
        var adapter = try PEFTFolder.read(path: Samples.models + "/llama-lora/style")
        adapter.modules[2].bias = Tensor(name: "bias", shape: Shape([48]), values: [Float](repeating: 0, count: 48))
        let biased = crayonError { _ = try convert(adapter, over: base) }
        #expect(biased?.description.contains("\(adapter.modules[2].path)': a bias of a pair") == true)
        adapter.modules[2].bias = nil
        adapter.modules[0].path = "model.layers.9.mlp.up_proj"
        let stranger = crayonError { _ = try convert(adapter, over: base) }
        #expect(stranger?.description.contains("no such module in the base") == true)
    }

    private func floats(_ tensor: Tensor) -> [Float] {
        let bytes = tensor.region.buffer
        return (0..<tensor.shape.count).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
}

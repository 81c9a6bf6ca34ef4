import Bytes
import Checkpoints
import Foundation
import Quantization
import Tensors
import Testing

/// Against blocks and numbers that GGML made; written by `Scripts/reference/ggml_fixture.py`.
@Suite struct GGMLTests {
    static let formats: [GGMLType] = GGMLType.allCases.filter(\.isBlockFormat)

    static func file() throws -> SafetensorsFile {
        try SafetensorsFile(
            path: #require(Bundle.module.path(forResource: "Fixtures/ggml", ofType: "safetensors")))
    }

    @Test(arguments: formats) func blocksAreGGMLs(_ type: GGMLType) throws {
        let file = try Self.file()
        let values = try #require(file.tensor("values"))
        let expected = try #require(file.tensor("blocks.\(type.label)")).region.array
        let made = try GGMLQuantizer(type).quantize(values)
        #expect(made.region.count == expected.count)
        // By block, to say which one differs.
        for block in 0..<expected.count / type.blockBytes {
            let range = block * type.blockBytes..<(block + 1) * type.blockBytes
            #expect(
                Array(made.region.buffer[range]) == Array(expected[range]),
                "block \(block), row \(block * type.blockElements / 256)")
        }
    }

    @Test(arguments: formats) func numbersAreGGMLs(_ type: GGMLType) throws {
        let file = try Self.file()
        let blocks = try #require(file.tensor("random.\(type.label)"))
        let expected = try #require(file.tensor("numbers.\(type.label)"))
        let tensor = GGMLTensor(name: "blocks", type: type, shape: Shape([2, 256]), region: blocks.region).dense()
        #expect(tensor.type == .f32)
        #expect(tensor.region.array == expected.region.array)
    }

    /// A tensor larger than a task's run has the blocks of its runs.
    @Test(arguments: formats) func manyRunsAreOne(_ type: GGMLType) throws {
        var random = SplitMix64(seed: 3)
        let values = (0..<(1 << 16) + 512).map { _ in Float(Int64(bitPattern: random.next()) >> 40) * 1e-8 }
        let whole = try GGMLQuantizer(type).quantize(
            Tensor(name: "w", shape: Shape([values.count / 256, 256]), values: values))
        let last = try GGMLQuantizer(type).quantize(
            Tensor(name: "w", shape: Shape([2, 256]), values: Array(values.suffix(512))))
        #expect(whole.region.array.suffix(last.region.count) == last.region.array[...])
        let numbers = whole.dense()
        #expect(numbers.region.array.suffix(2048) == last.dense().region.array[...])
    }

    @Test func rowsMustBeWholeBlocks() throws {
        let tensor = Tensor(name: "w", shape: Shape([64, 96]), values: [Float](repeating: 1, count: 64 * 96))
        let error = #expect(throws: CrayonError.self) { try GGMLQuantizer(.q4K).quantize(tensor) }
        #expect(
            error?.description
                == "quantize: tensor 'w': shape [64, 96]; expected rows of a multiple of 256, a block of Q4_K")
        #expect(try GGMLQuantizer(.q40).quantize(tensor).region.count == 64 * 3 * 18)
    }

    @Test func badNumbersAreNamed() throws {
        var values = [Float](repeating: 1, count: 512)
        values[300] = .nan
        let error = #expect(throws: CrayonError.self) {
            try GGMLQuantizer(.q6K).quantize(Tensor(name: "w", shape: Shape([2, 256]), values: values))
        }
        #expect(error?.description == "quantize: tensor 'w': nan at index 300; expected finite weights")
        values[300] = 1e9
        for type in Self.formats + [.f16] {
            let error = #expect(throws: CrayonError.self, "\(type.label)") {
                try GGMLQuantizer(type).quantize(Tensor(name: "w", shape: Shape([2, 256]), values: values))
            }
            #expect(error?.code == .notFinite)
            #expect(error?.found.contains("too large for \(type.label)") == true)
        }
        #expect(
            try GGMLQuantizer(.bf16).quantize(Tensor(name: "w", shape: Shape([2, 256]), values: values)).type == .bf16)
    }

    @Test func everyTypeHasASize() {
        for type in GGMLType.allCases {
            #expect(type.blockBytes > 0)
            #expect(GGMLType.unreadName(type.rawValue) == nil)
        }
        #expect(GGMLType.q4K.byteCount(of: 128) == nil)
        #expect(GGMLType.f64.byteCount(of: .max / 4) == nil)
        #expect(GGMLType.unreadName(23) == "IQ4_XS")
    }
}

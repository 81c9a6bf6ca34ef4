import Adapters
import Bytes
import Checkpoints
import Foundation
import Quantization
import Tensors
import Testing

/// Merges by bitsandbytes; `Scripts/reference/merge_fixture.py` writes them.
@Suite struct PlainRequantizationTests {
    @Test(arguments: ["f32", "f16", "bf16", "single", "odd", "nested", "large", "other_map"])
    func bitsandbytes(name: String) throws {
        let path = try #require(Bundle.module.path(forResource: "Fixtures/requantized", ofType: "safetensors"))
        let file = try SafetensorsFile(path: path)
        func read(_ part: String) throws -> NF4Tensor {
            try NF4Tensor(named: "\(name).\(part)", place: path) { file.tensor($0) }
        }
        let delta = try #require(file.tensor("\(name).delta"))
        let values = (0..<delta.shape.count).map {
            delta.region.buffer.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self)
        }
        let base = try read("base")
        let expected = try read("merged")
        let merged = try PlainRequantization().merge(base, adding: DeltaSource(values), name: name, place: path)
        #expect(merged.tensor.codes.array == expected.codes.array)
        #expect(merged.method == .requantized)
        switch (merged.tensor.scales, expected.scales) {
        case (.single(let scales), .single(let others)): #expect(scales.array == others.array)
        case (.double(let scales), .double(let others)):
            #expect(scales.codes.array == others.codes.array)
            #expect(scales.nestedAbsmax.array == others.nestedAbsmax.array)
            #expect(scales.offset == others.offset)
        default: Issue.record("another kind of scales")
        }
    }
}

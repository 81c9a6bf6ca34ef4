import Bytes
import Checkpoints
import Foundation
import Quantization
import Tensors
import Testing

/// The golden checkpoint's 4-bit weights, straight from bitsandbytes 0.50.2.
@Suite struct GoldenNF4 {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/models/golden").path

    @Test func everyWeight() throws {
        let expected = try SafetensorsFile(path: Self.folder + "/nf4-expected.safetensors")
        let shards = try (1...2).map {
            try SafetensorsFile(path: Self.folder + "/collavo-tiny/model-0000\($0)-of-00002.safetensors")
        }
        let names = expected.names.filter { $0.hasSuffix(".offset") }.map { String($0.dropLast(".offset".count)) }
        #expect(names.count == 10)
        for name in names {
            let source = try #require(shards.lazy.compactMap { $0.tensor(name) }.first, "\(name)")
            let tensor = try NF4Quantizer().quantize(source)
            guard case .double(let scales) = tensor.scales else {
                Issue.record("\(name)")
                continue
            }
            let codes = expected.names.first { $0 == name || $0 == name + ".codes" || $0 == name + ".packed" }
            #expect(tensor.codes.array == expected.tensor(try #require(codes))?.region.array, "\(name)")
            #expect(scales.codes.array == expected.tensor(name + ".absmax")?.region.array, "\(name)")
            #expect(scales.nestedAbsmax.array == expected.tensor(name + ".nested_absmax")?.region.array, "\(name)")
            let offset = Fixture.floats(try #require(expected.tensor(name + ".offset")))
            #expect(offset == [scales.offset], "\(name)")
        }
    }
}

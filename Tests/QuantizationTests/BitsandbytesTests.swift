import Bytes
import Checkpoints
import Foundation
import Kernels
import Quantization
import Tensors
import Testing

@Suite struct BitsandbytesEquality {
    @Test func casesAreThere() { #expect(Fixture.cases.count >= 36) }

    @Test(arguments: Fixture.cases) func singleScales(_ item: Fixture.Case) throws {
        let source = try item.tensor("input")
        let tensor = try NF4Quantizer(blockSize: item.blockSize, doubleQuantization: false).quantize(source)
        #expect(tensor.codes.array == (try item.bytes("codes")))
        guard case .single(let absmax) = tensor.scales else {
            Issue.record("double scales")
            return
        }
        #expect(absmax.array == (try item.bytes("absmax")))
        #expect(tensor.quantState.text == String(decoding: try item.bytes("state_single"), as: UTF8.self))
        if !item.name.hasPrefix("blocks_") { #expect(dequantized(tensor) == (try item.bytes("single"))) }
    }

    @Test(arguments: Fixture.cases) func doubleScales(_ item: Fixture.Case) throws {
        let source = try item.tensor("input")
        let tensor = try NF4Quantizer(blockSize: item.blockSize).quantize(source)
        #expect(tensor.codes.array == (try item.bytes("codes")))
        guard case .double(let scales) = tensor.scales else {
            Issue.record("single scales")
            return
        }
        #expect(scales.codes.array == (try item.bytes("scale_codes")))
        #expect(scales.nestedAbsmax.array == (try item.bytes("nested_absmax")))
        #expect(withUnsafeBytes(of: scales.offset) { Array($0) } == (try item.bytes("offset")))
        #expect(tensor.quantState.text == String(decoding: try item.bytes("state_double"), as: UTF8.self))
        if !item.name.hasPrefix("blocks_") { #expect(dequantized(tensor) == (try item.bytes("double"))) }
    }

    @Test(arguments: Fixture.cases) func nearestScaleCodes(_ item: Fixture.Case) throws {
        let tensor = try NF4Quantizer(blockSize: item.blockSize, scaleCodes: .exactNearest)
            .quantize(item.tensor("input"))
        guard case .double(let scales) = tensor.scales else {
            Issue.record("single scales")
            return
        }
        #expect(scales.codes.array == (try item.bytes("nearest_codes")))
    }

    /// Block runs in any order and from an unaligned copy of the weight give the whole's result.
    @Test(arguments: Fixture.cases) func streamed(_ item: Fixture.Case) throws {
        let source = try item.tensor("input")
        let quantizer = try NF4Quantizer(blockSize: item.blockSize)
        let shifted = ByteRegion(copying: [0] + source.region.array).slice(offset: 1, count: source.region.count)
        let tensor = Tensor(name: "w", type: source.type, shape: source.shape, region: shifted)
        let count = source.shape.count
        var codes = [UInt8](repeating: 0xcc, count: (count + 1) / 2)
        let absmax = ByteBuffer(count: quantizer.blockCount(of: count) * 4)
        let scales = absmax.pointer.assumingMemoryBound(to: Float.self)
        let runs = stride(from: 0, to: count, by: 3 * item.blockSize)
            .map { $0..<min($0 + 3 * item.blockSize, count) }
        try codes.withUnsafeMutableBufferPointer { codes in
            for run in runs.reversed() {
                try quantizer.quantizeBlocks(
                    of: tensor, elements: run, codes: codes.baseAddress! + run.lowerBound / 2,
                    absmax: scales + run.lowerBound / item.blockSize, place: "test")
            }
        }
        #expect(codes == (try item.bytes("codes")))
        guard case .double(let double) = try quantizer.quantizeScales(absmax.region, name: "w", place: "test") else {
            Issue.record("single scales")
            return
        }
        #expect(double.codes.array == (try item.bytes("scale_codes")))
    }

    func dequantized(_ tensor: NF4Tensor) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: tensor.shape.count * tensor.sourceType.byteCount)
        bytes.withUnsafeMutableBytes {
            tensor.dequantize(elements: 0..<tensor.shape.count, as: tensor.sourceType, into: $0.baseAddress!)
        }
        return bytes
    }

    /// The maps that count are the file's.
    @Test func anotherMap() throws {
        let item = try #require(Fixture.cases.first { $0.name == "normal_f32" })
        let parts = try NF4Quantizer().quantize(item.tensor("input")).components(named: "w")
        let map = try #require(Fixture.file.tensor("other_map.map"))
        #expect(Fixture.floats(map)[0] == -1)
        let read = try NF4Tensor(named: "w", place: "test") { name in
            name == "w.nested_quant_map" ? map.named(name) : parts.first { $0.name == name }
        }
        #expect(dequantized(read) == (try #require(Fixture.file.tensor("other_map.double")).region.array))
        #expect(dequantized(read) != (try item.bytes("double")))
    }

    @Test(arguments: ["f32", "f16", "bf16"], [64, 256, 4096]) func eightBit(type: String, blockSize: Int) throws {
        let item = Fixture.Case(name: "int8_\(type)_\(blockSize)", blockSize: blockSize)
        let tensor = try Int8Quantizer(blockSize: blockSize).quantize(item.tensor("input"))
        #expect(tensor.codes.array == (try item.bytes("codes")))
        #expect(tensor.absmax.array == (try item.bytes("absmax")))
        var values = [UInt8](repeating: 0, count: 300 * tensor.sourceType.byteCount)
        values.withUnsafeMutableBytes {
            tensor.dequantize(elements: 0..<300, as: tensor.sourceType, into: $0.baseAddress!)
        }
        #expect(values == (try item.bytes("values")))
    }

    @Test func eightBitKnownCodes() throws {
        let item = Fixture.Case(name: "int8_known", blockSize: 64)
        let tensor = try Int8Quantizer(blockSize: 64).quantize(item.tensor("input"))
        #expect(tensor.codes.array == [131, 255, 0, 131, 131, 123, 131, 123])
        #expect(tensor.codes.array == (try item.bytes("codes")))
        // 0 has a code of its own by the exact rule.
        let exact = try Int8Quantizer(blockSize: 64, rule: .exactNearest).quantize(item.tensor("input"))
        #expect(exact.codes.array[0] == 127 && exact.codes.array[1] == 255)
    }

    /// The reciprocal of the largest is infinite there, and 0 times it is no number.
    @Test(arguments: [Float(1e-39), 0x1p-149]) func exactCodesOfDenormals(largest: Float) throws {
        let values = [largest, 0, -largest] + [Float](repeating: 0, count: 61)
        let tensor = Tensor(name: "w", shape: Shape([64]), values: values)
        let exact = try Int8Quantizer(blockSize: 64, rule: .exactNearest).quantize(tensor)
        #expect(exact.codes.array.prefix(3) == [255, 127, 0])
        #expect(exact.codes.array.dropFirst(3).allSatisfy { $0 == 127 })
    }

    @Test func means() throws {
        let counts = try #require(Fixture.file.tensor("means.counts")).integers(in: "fixture")
        let expected = Fixture.floats(try #require(Fixture.file.tensor("means.values")))
        let values = (0..<UInt64(262_144)).map { Float(($0 * 2_654_435_761 & 0xffff_ffff) >> 8) / 16_777_216 }
        #expect(counts.contains(262_144))
        for (count, mean) in zip(counts, expected) {
            #expect(NF4Kernel.offset(absmax: values, count: count) == mean, "\(count) values")
        }
        let absmax = Fixture.floats(try #require(Fixture.file.tensor("offset_1234.absmax")))
        #expect(Double(NF4Kernel.offset(absmax: absmax, count: absmax.count)) == 0.051864609122276306)
    }

    /// A constant tensor's scales are all the offset.
    @Test func constant() throws {
        let item = try #require(Fixture.cases.first { $0.name == "constant" })
        guard case .double(let scales) = try NF4Quantizer().quantize(item.tensor("input")).scales else { return }
        #expect(scales.codes.array.allSatisfy { $0 == 0 })
        #expect(scales.nestedAbsmax.array.allSatisfy { $0 == 0 })
        #expect(scales.offset == 0.0123)
    }
}

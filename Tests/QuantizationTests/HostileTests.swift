import Bytes
import Quantization
import Tensors
import Testing

/// Weights that cannot be quantized, and files that do not hold what they say.
@Suite struct Hostile {
    static func weight(_ count: Int = 640) -> Tensor {
        Tensor(
            name: "model.w", shape: Shape([count / 64, 64]),
            values: (0..<count).map { Float(($0 * 37) % 101 - 50) / 1000 })
    }

    static func weight(with value: Float, at index: Int) -> Tensor {
        var values = Fixture.floats(weight())
        values[index] = value
        return Tensor(name: "model.w", shape: Shape([10, 64]), values: values)
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity], [0, 63, 64, 333, 639])
    func notFinite(value: Float, index: Int) throws {
        let tensor = Self.weight(with: value, at: index)
        for quantize in [
            { _ = try NF4Quantizer().quantize(tensor, place: "a.safetensors") },
            { _ = try Int8Quantizer().quantize(tensor, place: "a.safetensors") },
        ] {
            let error = #expect(throws: CrayonError.self) { try quantize() }
            #expect(error?.code == .notFinite)
            #expect(error?.place == "a.safetensors")
            #expect(error?.description.contains("model.w") == true)
            #expect(error?.description.contains("index \(index) ") == true)
        }
    }

    /// Scales whose mean overflows would turn every weight into NaN.
    @Test func overflowingMean() throws {
        let tensor = Tensor(name: "w", shape: Shape([4, 64]), values: [Float](repeating: 3.4e38, count: 256))
        let error = #expect(throws: CrayonError.self) { try NF4Quantizer().quantize(tensor) }
        #expect(error?.code == .notFinite)
        let single = try NF4Quantizer(doubleQuantization: false).quantize(tensor)
        var back = [Float](repeating: 0, count: 256)
        single.dequantize(elements: 0..<256, into: &back)
        #expect(back.allSatisfy { $0 == 3.4e38 })
    }

    @Test func wrongTypes() throws {
        let integers = Tensor(name: "ids", shape: Shape([3]), values: [Int64(1), 2, 3])
        let empty = Tensor(name: "none", shape: Shape([0, 64]), values: [Float]())
        for tensor in [integers, empty] {
            #expect(throws: CrayonError.self) { try NF4Quantizer().quantize(tensor) }
            #expect(throws: CrayonError.self) { try Int8Quantizer().quantize(tensor) }
        }
        for size in [0, -64, 16, 63, 8192] {
            #expect(throws: CrayonError.self) { try NF4Quantizer(blockSize: size) }
        }
        for size in [0, -1, 4097] { #expect(throws: CrayonError.self) { try Int8Quantizer(blockSize: size) } }
    }

    @Test func doubles() throws {
        let values = Fixture.floats(Self.weight())
        let bytes = values.flatMap { value in withUnsafeBytes(of: Double(value)) { Array($0) } }
        let tensor = Tensor(name: "w", type: .f64, shape: Shape([10, 64]), region: ByteRegion(copying: bytes))
        let fromDoubles = try NF4Quantizer().quantize(tensor)
        #expect(fromDoubles.sourceType == .f32)
        #expect(fromDoubles.codes.array == (try NF4Quantizer().quantize(Self.weight())).codes.array)
    }

    @Test(arguments: [true, false]) func componentsComeBack(double: Bool) throws {
        let tensor = try NF4Quantizer(doubleQuantization: double).quantize(Self.weight())
        let parts = tensor.components(named: "model.w")
        #expect(
            parts.map(\.name)
                == (double
                    ? [
                        "model.w", "model.w.absmax", "model.w.quant_map", "model.w.nested_absmax",
                        "model.w.nested_quant_map", "model.w.quant_state.bitsandbytes__nf4",
                    ] : ["model.w", "model.w.absmax", "model.w.quant_map", "model.w.quant_state.bitsandbytes__nf4"]))
        let read = try NF4Tensor(named: "model.w", place: "f") { name in parts.first { $0.name == name } }
        #expect(read.components(named: "model.w").map(\.region.array) == parts.map(\.region.array))
        for missing in parts {
            let error = #expect(throws: CrayonError.self) {
                try NF4Tensor(named: "model.w", place: "f") { name in
                    parts.first { $0.name == name && name != missing.name }
                }
            }
            #expect(error?.code == .missing && error?.description.contains(missing.name) == true)
        }
        // Each part with its last byte, or its last row, cut off.
        for short in parts where !short.name.contains("quant_state") {
            let cut = Tensor(
                name: short.name, type: .u8, shape: Shape([short.region.count - 1]),
                region: short.region.slice(offset: 0, count: short.region.count - 1))
            #expect(throws: CrayonError.self) {
                try NF4Tensor(named: "model.w", place: "f") { name in
                    name == short.name ? cut : parts.first { $0.name == name }
                }
            }
        }
    }

    @Test(arguments: [
        "", "{", "[]", "{}", #"{"quant_type": "fp4", "blocksize": 64, "dtype": "float32", "shape": [10, 64]}"#,
        #"{"quant_type": "nf4", "blocksize": 63, "dtype": "float32", "shape": [10, 64]}"#,
        #"{"quant_type": "nf4", "blocksize": -64, "dtype": "float32", "shape": [10, 64]}"#,
        #"{"quant_type": "nf4", "blocksize": 64, "dtype": "float8", "shape": [10, 64]}"#,
        #"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [10, 65]}"#,
        #"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [0]}"#,
        #"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [-10, -64]}"#,
        #"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [4294967296, 4294967296]}"#,
        #"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [9223372036854775807]}"#,
        #"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": null}"#,
        #"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [10, 64], "nested_blocksize": 0, "nested_offset": 0.1}"#,
        #"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [10, 64], "nested_blocksize": 1, "nested_offset": 0.1}"#,
        #"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [10, 64], "nested_blocksize": 256, "nested_offset": 1e400}"#,
        #"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [10, 64], "nested_blocksize": 256, "nested_dtype": "float16", "nested_offset": 0.1}"#,
    ]) func badStates(text: String) throws {
        let parts = try NF4Quantizer().quantize(Self.weight()).components(named: "w")
        let state = Tensor(name: "w.quant_state.bitsandbytes__nf4", bytes: Array(text.utf8))
        #expect(throws: CrayonError.self) {
            try NF4Tensor(named: "w", place: "f") { name in
                name == state.name ? state : parts.first { $0.name == name }
            }
        }
    }

    @Test func eightBitComponents() throws {
        let tensor = try Int8Quantizer().quantize(Self.weight())
        let parts = tensor.components(named: "head")
        let read = try Int8Tensor(named: "head", place: "f") { name in parts.first { $0.name == name } }
        #expect(read.components(named: "head").map(\.region.array) == parts.map(\.region.array))
        #expect(read.shape == tensor.shape && read.blockSize == tensor.blockSize)
        for missing in parts {
            #expect(throws: CrayonError.self) {
                try Int8Tensor(named: "head", place: "f") { name in
                    parts.first { $0.name == name && name != missing.name }
                }
            }
        }
    }
}

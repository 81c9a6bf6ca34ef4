import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Conversion
import Foundation
import JSON
import Quantization
import Tensors
import Testing

/// Sources that are quantized already.
@Suite struct QuantizedSourceTests {
    private static let layer = "model.layers.0."

    /// A Llama whose linear layers are in every coding that is read: NF4, FP4 and LLM.int8() of bitsandbytes, GPTQ and AWQ.
    private func quantizedLlama(in folder: String, _ change: (inout [String: Tensor]) -> Void = { _ in }) throws {
        try LlamaFolder(type: .f16).write(to: folder)
        let dense = try SafetensorsFile(path: "\(folder)/model.safetensors")
        var tensors: [String: Tensor] = [:]
        for name in dense.names { tensors[name] = dense.tensor(name) }
        var random = SplitMix64(seed: 7)
        func bytes(_ count: Int) -> ByteRegion {
            ByteRegion(copying: (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) })
        }
        func floats(_ count: Int, as type: ElementType = .f32) -> ByteRegion {
            ByteRegion(copying: encoded((0..<count).map { _ in Float(random.uniform() * 0.05 + 0.001) }, as: type))
        }
        func add(_ name: String, _ type: ElementType, _ dims: [Int], _ region: ByteRegion) {
            tensors[name] = Tensor(name: name, type: type, shape: Shape(dims), region: region)
        }
        func module(_ name: String) -> String { Self.layer + name }
        let query = try #require(tensors[module("self_attn.q_proj.weight")])
        for part in try NF4Quantizer().quantize(query).components(named: query.name) { tensors[part.name] = part }
        let key = module("self_attn.k_proj.weight")
        let fp4 = try NF4Tensor(
            shape: Shape([16, 16]), blockSize: 64, codes: bytes(128), scales: .single(absmax: floats(4)),
            quantType: .fp4,
            sourceType: .f16)
        for part in fp4.components(named: key) { tensors[part.name] = part }
        add(module("mlp.gate_proj.weight"), .i8, [24, 16], bytes(24 * 16))
        add(module("mlp.gate_proj.SCB"), .f32, [24], floats(24))
        for (name, isAWQ) in [("mlp.up_proj", false), ("self_attn.o_proj", true)] {
            let outputs = isAWQ ? 16 : 24
            tensors[module("\(name).weight")] = nil
            add(module("\(name).qweight"), .i32, isAWQ ? [16, outputs / 8] : [2, outputs], bytes(8 * outputs))
            add(module("\(name).qzeros"), .i32, [2, outputs / 8], bytes(outputs))
            add(module("\(name).scales"), .f16, [2, outputs], floats(2 * outputs, as: .f16))
        }
        change(&tensors)
        try SafetensorsWriter.write(tensors.values.sorted { $0.name < $1.name }, to: "\(folder)/model.safetensors")
        let config = try String(contentsOfFile: "\(folder)/config.json", encoding: .utf8)
            .replacing(
                "{\"model_type\"",
                with: "{\"quantization_config\": {\"quant_method\": \"bitsandbytes\"}, \"model_type\"")
        try AtomicFile.write(Array(config.utf8), to: "\(folder)/config.json")
    }

    /// bitsandbytes' weights go into a bundle, and out of it as numbers, without being quantized again; GPTQ's and AWQ's are.
    @Test func codesAndScalesAreCarriedOver() throws {
        try withFolder { folder in
            try quantizedLlama(in: folder)
            let model = try CheckpointModel.open(folder)
            let path = "\(folder)/m.crayon"
            try convert(model, to: path)
            let bundle = try BundleReader(path: path)
            #expect(bundle.verifyDigests().isEmpty)
            var labels: [String: Int] = [:]
            for binding in model.bindings where binding.part == .backbone && binding.isMatrix {
                let entry = try #require(bundle.entry(binding.role))
                labels["\(binding.entry.encoding) \(entry.coding.label)", default: 0] += 1
                let (stored, source) = (try #require(try bundle.weight(binding.role)), try binding.weight())
                if case .dense(let tensor) = source {
                    #expect(stored.components == StoredWeight.nf4(try NF4Quantizer().quantize(tensor)).components)
                } else {
                    #expect(stored.components == source.components, "\(binding.role)")
                }
            }
            #expect(
                labels == ["nf4 NF4": 1, "fp4 FP4": 1, "LLM.int8 INT8": 1, "GPTQ NF4": 1, "AWQ NF4": 1, "F16 NF4": 2])
            let config = try #require(bundle.file("config.json"))
            let text = String(decoding: config.region.buffer, as: UTF8.self)
            #expect(text.contains("hidden_size") && !text.contains("quantization_config"))

            _ = try Export(bundle, options: ExportOptions()).run(to: "\(folder)/out")
            let exported = try CheckpointModel.open("\(folder)/out")
            for binding in model.bindings where ["nf4", "fp4"].contains(binding.entry.encoding) {
                let back = try #require(exported.binding(binding.role))
                #expect(try back.tensor().region.array == binding.tensor().region.array, "\(binding.role)")
            }
        }
    }

    /// LLM.int8() as the runtime multiplies it: the scale over 127 first. One unit in the last place of float16 at most.
    @Test func eightBitIntegersDequantizeAlike() throws {
        try withFolder { folder in
            try quantizedLlama(in: folder)
            let model = try CheckpointModel.open(folder)
            let binding = try #require(model.bindings.first { $0.entry.encoding == "LLM.int8" })
            let exact = decoded(try binding.tensor())
            var values = [Float](repeating: 0, count: exact.count)
            try binding.weight().dequantize(elements: 0..<exact.count, into: &values)
            for (index, value) in values.enumerated() {
                #expect(abs(Float(Float16(value)) - exact[index]) <= Float(Float16(exact[index]).ulp), "\(index)")
            }
        }
    }

    @Test func requantizingStartsFromTheNumbers() throws {
        try withFolder { folder in
            try quantizedLlama(in: folder)
            let model = try CheckpointModel.open(folder)
            try convert(model, to: "\(folder)/m.crayon", requantizes: true)
            let bundle = try BundleReader(path: "\(folder)/m.crayon")
            for binding in model.bindings where binding.part == .backbone && binding.isMatrix {
                let wanted = StoredWeight.nf4(try NF4Quantizer().quantize(try binding.tensor()))
                #expect(try bundle.weight(binding.role)?.components == wanted.components, "\(binding.role)")
            }
            // A 16-bit format is made from the numbers as well, whatever the flag.
            try convert(model, to: "\(folder)/b.crayon", ["backbone=bf16"])
            #expect(try BundleReader(path: "\(folder)/b.crayon").manifest.weights.allSatisfy { !$0.coding.isQuantized })
        }
    }

    @Test func scalesThatAreNoNumbersAreRefused() throws {
        for name in ["self_attn.k_proj.weight.absmax", "mlp.gate_proj.SCB", "self_attn.o_proj.scales"] {
            try withFolder { folder in
                let full = Self.layer + name
                try quantizedLlama(in: folder) { tensors in
                    guard let scales = tensors[full] else { return }
                    var bytes = scales.region.array
                    let nan = encoded([.nan], as: scales.type)
                    bytes.replaceSubrange(bytes.count - nan.count..<bytes.count, with: nan)
                    tensors[full] = Tensor(
                        name: full, type: scales.type, shape: scales.shape, region: ByteRegion(copying: bytes))
                }
                let model = try CheckpointModel.open(folder)
                let error = #expect(throws: CrayonError.self) { try convert(model, to: "\(folder)/m.crayon") }
                #expect(
                    error?.code == .notFinite && error?.item?.contains(name.prefix(12)) == true,
                    "\(name): \(error.map(String.init(describing:)) ?? "")")
                #expect(!FileManager.default.fileExists(atPath: "\(folder)/m.crayon"))
            }
        }
    }
}

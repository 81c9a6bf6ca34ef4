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

private let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/models").path

/// What transformers makes of these folders is shown by `Scripts/reference/check_exports.sh`; here are the bytes.
@Suite struct FourBitExportTests {
    private func export(
        _ model: CheckpointModel, _ assignments: String..., blockSize: Int = 64, doubled: Bool = true,
        _ body: (BundleReader, SafetensorsFile, JSONObject, ExportReport) throws -> Void
    ) throws {
        var plan = PrecisionPlan()
        for assignment in assignments { try plan.apply(assignment) }
        let quantizer = try NF4Quantizer(blockSize: blockSize, doubleQuantization: doubled)
        try withFolder { folder in
            let path = "\(folder)/model.crayon"
            let options = BundleConversion.Options(plan: plan, quantizer: quantizer, int8Quantizer: try Int8Quantizer())
            _ = try BundleConversion(options: options).run(model, output: path)
            let bundle = try BundleReader(path: path)
            let report = try Export(bundle, options: ExportOptions(format: .bitsandbytes)).run(to: "\(folder)/out")
            let file = try MappedFile(path: "\(folder)/out/config.json")
            guard case .object(let config) = try JSONValue.parse(file.whole.buffer, name: file.path) else {
                Issue.record("config.json is no object")
                return
            }
            try body(bundle, SafetensorsFile(path: "\(folder)/out/model.safetensors"), config, report)
        }
    }

    private func quantization(_ config: JSONObject) -> JSONObject {
        guard case .object(let object)? = config["quantization_config"] else { return JSONObject() }
        return object
    }

    @Test(arguments: [(32, true), (64, true), (64, false)])
    func holdsTheBundlesComponents(blockSize: Int, doubled: Bool) throws {
        let model = try CheckpointModel.open("\(fixtures)/llama")
        try export(model, blockSize: blockSize, doubled: doubled) { bundle, exported, config, report in
            var names: Set<String> = []
            for binding in model.bindings {
                let entry = try #require(bundle.entry(binding.role))
                guard binding.part == .backbone, binding.isMatrix else {
                    #expect(try exported.tensor(binding.sourceName)?.region.array == binding.tensor().region.array)
                    names.insert(binding.sourceName)
                    continue
                }
                for component in entry.coding.components {
                    let name = binding.sourceName + component.suffix
                    let (ours, stored) = (try #require(exported.tensor(name)), try #require(bundle.tensor(name)))
                    #expect(ours.type == stored.type && ours.shape == stored.shape)
                    #expect(ours.region.array == stored.region.array)
                    names.insert(name)
                }
                // And they read back as the weight that the quantizer makes.
                let tensor = try NF4Tensor(named: binding.sourceName, place: "export") { exported.tensor($0) }
                let fresh = try NF4Quantizer(blockSize: blockSize, doubleQuantization: doubled).quantize(
                    binding.tensor())
                #expect(tensor.codes.array == fresh.codes.array)
            }
            #expect(Set(exported.names) == names)
            #expect(report.warnings.isEmpty)
            #expect(quantization(config)["bnb_4bit_use_double_quant"] == .bool(doubled))
        }
    }

    @Test func configurationIsTheSourcesAndWhatTransformersWrites() throws {
        let model = try CheckpointModel.open("\(fixtures)/llama")
        try export(model) { _, _, config, _ in
            let file = try #require(model.file("config.json"))
            guard case .object(let source) = try JSONValue.parse(file.region.buffer, name: "config.json") else {
                return
            }
            #expect(config.names == source.names + ["quantization_config"])
            for name in source.names { #expect(config[name] == source[name]) }
            let expected = """
                {"_load_in_4bit": true, "_load_in_8bit": false, "bnb_4bit_compute_dtype": "float16", \
                "bnb_4bit_quant_storage": "uint8", "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": true, \
                "llm_int8_enable_fp32_cpu_offload": false, "llm_int8_has_fp16_weight": false, \
                "llm_int8_skip_modules": null, "llm_int8_threshold": 6.0, "load_in_4bit": true, "load_in_8bit": false, \
                "quant_method": "bitsandbytes"}
                """
            #expect(config["quantization_config"]?.text(style: .python) == expected)
        }
    }

    @Test func listsWhatTheDefaultRulesWouldGetWrong() throws {
        // A head in NF4 must not be skipped; a list without it says so.
        let llama = try CheckpointModel.open("\(fixtures)/llama")
        try export(llama, "head=nf4") { _, exported, config, _ in
            #expect(quantization(config)["llm_int8_skip_modules"] == .array([]))
            #expect(exported.tensor("lm_head.weight.quant_state.bitsandbytes__nf4") != nil)
        }
        // One in int8 is dequantized, and skipped by default.
        try export(llama, "head=int8", "embeddings=nf4") { _, exported, config, report in
            #expect(quantization(config)["llm_int8_skip_modules"] == .null)
            #expect(exported.tensor("lm_head.weight")?.type == .f16)
            #expect(exported.tensor("model.embed_tokens.weight")?.type == .f16)
            #expect(exported.names.allSatisfy { !$0.hasPrefix("lm_head.weight.") })
            #expect(report.warnings.count == 1)
        }
        // A tied head is skipped by default too.
        try export(CheckpointModel.open("\(fixtures)/qwen2")) { _, _, config, _ in
            #expect(quantization(config)["llm_int8_skip_modules"] == .null)
            #expect(config["dtype"] == "bfloat16")
        }
        // The published layout calls its head otherwise, and has linear layers beside the backbone's.
        try export(CheckpointModel.open("\(fixtures)/collavo-grouped")) { _, exported, config, report in
            guard case .array(let skipped)? = quantization(config)["llm_int8_skip_modules"] else {
                Issue.record("no list")
                return
            }
            #expect(skipped.last == "output")
            #expect(skipped.contains("model.layers.0.attention.wqkv.Plora_A"))
            #expect(skipped.contains("vision_proj_for_seg.2"))
            #expect(!skipped.contains("model.layers.0.attention.wqkv.Plora_main"))
            #expect(!skipped.contains("seg_prompt_embed"))
            #expect(exported.tensor("seg_prompt_embed.weight") != nil)
            #expect(report.warnings.contains { $0.contains("transformers has no class") })
        }
    }

    @Test func leavesOutOtherPartsAndSaysSo() throws {
        let parts = CheckpointParts(
            backbone: "\(fixtures)/llama", adapters: [("style", "\(fixtures)/llama-lora/style")])
        try export(CheckpointModel.open(parts)) { _, exported, _, report in
            #expect(exported.names.allSatisfy { !$0.contains("lora") })
            #expect(report.files.sorted() == ["config.json", "model.safetensors"])
            #expect(report.warnings.contains { $0.contains("adapters/style") })
        }
    }

    @Test func saysWhatItCannotDo() throws {
        let model = try CheckpointModel.open("\(fixtures)/llama")
        let error = #expect(throws: CrayonError.self) { try export(model, "backbone=int8") { _, _, _, _ in } }
        #expect(error?.description.contains("no linear layer in NF4") == true)
        try withFolder { folder in
            let path = "\(folder)/model.crayon"
            let options = BundleConversion.Options(
                plan: PrecisionPlan(), quantizer: try NF4Quantizer(), int8Quantizer: try Int8Quantizer())
            _ = try BundleConversion(options: options).run(model, output: path)
            let export = Export(
                try BundleReader(path: path), options: ExportOptions(format: .bitsandbytes, type: .f32))
            #expect(throws: CrayonError.self) { try export.run(to: "\(folder)/out") }
            #expect(!FileManager.default.fileExists(atPath: "\(folder)/out"))
        }
    }
}

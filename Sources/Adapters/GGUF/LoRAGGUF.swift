public import Bytes
public import Checkpoints
import Kernels
import Quantization
public import Tensors

/// llama.cpp's LoRA file: a GGUF of type `adapter` whose tensors are named for those of llama.cpp's own model. See
/// `Formats/lora-gguf.md`.
///
/// llama.cpp scales each pair by one alpha over the pair's rank, so where an adapter's scales differ (alpha patterns, rank
/// stabilization) what is left over goes into B; the pairs that need none keep their numbers.
public enum LoRAGGUF {
    /// - Parameters:
    ///   - model: the base, for names and heads; llama.cpp's form of it must have been made from the same checkpoint.
    ///   - type: F32, F16 or BF16.
    /// - Throws: `CrayonError` for what llama.cpp does not do (DoRA, biases, whole weights, pairs at image positions), modules that
    ///   the base has not, and when the file cannot be written.
    public static func write(
        _ adapter: Adapter, over model: any ModelSource, to path: String, type: ElementType = .f32
    ) throws(CrayonError) {
        precondition(type.isKernelType)
        let plan = try LoRAGGUFPlan(adapter, over: model)
        let fileTypes: [ElementType: UInt32] = [.f32: 0, .f16: 1, .bf16: 32]
        let stored: GGMLType = type == .f32 ? .f32 : type == .f16 ? .f16 : .bf16
        let writer = try GGUFWriter(
            path: path,
            metadata: [
                ("general.architecture", .string(plan.architecture)), ("general.type", .string("adapter")),
                ("general.name", .string(adapter.name)), ("general.file_type", .uint32(fileTypes[type] ?? 0)),
                ("general.quantization_version", .uint32(2)), ("adapter.type", .string("lora")),
                ("adapter.lora.alpha", .float32(plan.alpha)),
            ],
            tensors: plan.pairs.flatMap { pair in
                [
                    GGUFWriter.Declaration(name: pair.name + ".lora_a", type: stored, shape: pair.shapeOfA),
                    GGUFWriter.Declaration(name: pair.name + ".lora_b", type: stored, shape: pair.shapeOfB),
                ]
            })
        for pair in plan.pairs {
            let a = FactorNumbers(try pair.module.a.tensor())
            try writer.write(pair.isEmbedding ? a.transposed() : a, of: pair.name + ".lora_a", as: type, at: path)
            var b = FactorNumbers(try pair.module.b.tensor())
            if let rows = pair.rows { b = b.gathering(rows) }
            if pair.factor != 1 { b.scale(by: pair.factor) }
            try writer.write(b, of: pair.name + ".lora_b", as: type, at: path)
        }
        try adapter.checkUnchanged()
        try model.checkUnchanged()
        try writer.commit()
    }
}

extension GGUFWriter {
    fileprivate func write(
        _ numbers: FactorNumbers, of name: String, as type: ElementType, at path: String
    ) throws(CrayonError) {
        let buffer = ByteBuffer(count: numbers.values.count * type.byteCount)
        numbers.values.withUnsafeBufferPointer {
            guard let start = $0.baseAddress else { return }
            FloatConversion.narrow(start, count: $0.count, to: type, into: buffer.pointer)
        }
        if let bad = FiniteScan.firstBad(buffer.pointer, type: type, count: numbers.values.count) {
            throw CrayonError(
                .notFinite, in: path, item: "tensor '\(name)'",
                found: "a number too large for \(type.rawValue) at \(bad)",
                expected: "numbers that the type holds", advice: "Write it as f32.")
        }
        try write(buffer.region.buffer, of: name)
    }
}

import Bytes
import JSON

extension Layout {
    /// Every layout that is read, the more particular first.
    public static let all: [Layout] = [.collavo, .llava, .internLM2, .internLM, .llama, .qwen2, .clip, .crayonFile]

    public static func named(_ name: String) -> Layout? { all.first { $0.name == name } }

    /// The layout of an opened checkpoint: the one whose signature the tensor names bear and whose
    /// `model_type` config.json gives.
    /// - Throws: `CrayonError` when no layout fits, saying what was found; for weights that are already quantized.
    static func recognise(
        _ checkpoint: any Checkpoint, config: JSONReader?, contents: Set<Content>
    ) throws(CrayonError) -> Layout {
        try refuseQuantized(checkpoint, config: config)
        let names = checkpoint.names
        let bySignature = all.filter { layout in
            layout.signature.allSatisfy { pattern in names.contains { pattern.match($0) != nil } }
        }
        let modelType = try config?.optionalString("model_type")
        let fitting = bySignature.filter { layout in
            layout.modelTypes.isEmpty || modelType.map { layout.modelTypes.contains($0) } ?? (config == nil)
        }
        if let layout = fitting.first(where: { contents.contains($0.content) }) { return layout }
        let known = all.filter { contents.contains($0.content) }.map { "\($0.name) (\($0.title))" }
        let expected = "one of " + known.joined(separator: "; ")
        if let other = fitting.first {
            throw CrayonError(
                .usage, in: checkpoint.place, found: "\(other.title) (layout \(other.name))", expected: expected,
                advice: other.content == .vision ? "Give it as the vision part, with a backbone beside it." : nil)
        }
        if bySignature.isEmpty {
            let shown = ShardedFolder.list(Array(names.prefix(3)))
            if let modelType, let claimed = all.first(where: { $0.modelTypes.contains(modelType) }),
                contents.contains(claimed.content),
                let pattern = claimed.signature.first(where: { pattern in !names.contains { pattern.match($0) != nil } }
                )
            {
                throw CrayonError(
                    .missing, in: checkpoint.place,
                    found: "no tensor '\(pattern)' (\(names.count) tensors: \(shown)\(names.count > 3 ? ", …" : ""))",
                    expected: "the names of \(claimed.title), which model_type '\(modelType)' stands for",
                    advice: "Check that every shard is there and that config.json belongs to these tensors.")
            }
            throw CrayonError(
                .unsupported, in: checkpoint.place,
                found:
                    "tensor names of no known layout (\(names.count) tensors: \(shown)\(names.count > 3 ? ", …" : ""))",
                expected: expected)
        }
        throw CrayonError(
            .unsupported, in: config?.place ?? checkpoint.place, item: "key 'model_type'",
            found: modelType.map { "'\($0)'" } ?? "nothing",
            expected: bySignature.flatMap(\.modelTypes).sorted().map { "'\($0)'" }.joined(separator: ", ")
                + ", which the tensor names would fit",
            advice: "If the model computes exactly as one of these does, name its layout with --layout.")
    }

    /// Names and keys by which a checkpoint shows that its weights have been quantized in a way that `QuantizedCheckpoint` does
    /// not read.
    private static func refuseQuantized(_ checkpoint: any Checkpoint, config: JSONReader?) throws(CrayonError) {
        let advice = "Convert from the unquantized checkpoint."
        if let quantization = try config?.optionalObject("quantization_config") {
            let method = try quantization.optionalString("quant_method") ?? "unnamed"
            guard ["bitsandbytes", "gptq", "awq"].contains(method) else {
                throw CrayonError(
                    .unsupported, in: quantization.place, item: "key 'quantization_config'",
                    found: "weights that are already quantized (method '\(method)')",
                    expected: "16- or 32-bit weights, or those of bitsandbytes, GPTQ or AWQ", advice: advice)
            }
        }
        let marks = [".weight.absmax", ".SCB", ".qzeros", ".weight_scale", ".weight_scale_inv", ".weight_packed"]
        for name in checkpoint.names {
            if let mark = marks.first(where: { name.hasSuffix($0) }) {
                throw CrayonError(
                    .unsupported, in: checkpoint.file(of: name), item: "tensor '\(name)'",
                    found: "weights that are already quantized ('\(mark)')",
                    expected: "16- or 32-bit weights, or all parts of quantized ones", advice: advice)
            }
        }
    }
}

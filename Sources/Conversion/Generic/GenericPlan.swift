import Bytes
import Checkpoints
import JSON
import Quantization
import Tensors

/// Which tensors of a checkpoint are quantized, in which type the others are written, and the config.json that says so.
struct GenericPlan {
    struct Item {
        let entry: TensorEntry
        let decision: LinearWeights.Decision
        /// The type that it is written in, or quantized from.
        let type: ElementType

        var isQuantized: Bool { decision == .linear || decision == .transposed }

        /// As it comes out: `[out, in]` for a transposed weight.
        var shape: Shape {
            decision == .transposed ? Shape(Array(entry.shape.dims.reversed())) : entry.shape
        }

        /// The tensors of fixed size that it becomes, in bitsandbytes' order.
        func declarations(_ quantizer: NF4Quantizer) -> [SafetensorsWriter.Declaration] {
            guard isQuantized else { return [.init(name: entry.name, type: type, shape: entry.shape)] }
            let count = entry.shape.count
            let blocks = quantizer.blockCount(of: count)
            func part(_ component: NF4Tensor.Component, _ type: ElementType, _ count: Int)
                -> SafetensorsWriter.Declaration
            {
                .init(name: entry.name + component.rawValue, type: type, shape: Shape([count]))
            }
            let codes = SafetensorsWriter.Declaration(
                name: entry.name, type: .u8, shape: Shape([count / 2 + count % 2, 1]))
            guard quantizer.doubleQuantization else {
                return [codes, part(.absmax, .f32, blocks), part(.quantMap, .f32, 16)]
            }
            let nested = (blocks - 1) / quantizer.nestedBlockSize + 1
            return [
                codes, part(.absmax, .u8, blocks), part(.quantMap, .f32, 16), part(.nestedAbsmax, .f32, nested),
                part(.nestedQuantMap, .f32, 256),
            ]
        }
    }

    let items: [Item]
    let configurationText: String
    private(set) var warnings: [String] = []

    /// - Throws: `CrayonError` when there is nothing to quantize.
    init(
        _ checkpoint: any Checkpoint, config: JSONReader, options: GenericQuantization.Options
    ) throws(CrayonError) {
        let family = try ModelFamily(config)
        let skips = try options.skips.map { names throws(CrayonError) in try ModuleSkips.checking(names) }
        let rules = LinearWeights(family: family, names: checkpoint.names, skips: skips)
        let wanted = options.type ?? family.type
        let wide = ModuleSkips(wanted == .f16 ? family.float32Modules : [])
        var items: [Item] = []
        for name in checkpoint.names {
            guard let entry = checkpoint.entry(name) else { continue }
            let decision = rules.decision(entry)
            var type = entry.type
            if type.isFloat, let wanted, wanted != .f64 {
                type = wide.contains(LinearWeights.module(of: name) ?? name) ? .f32 : wanted
            }
            let isQuantized = decision == .linear || decision == .transposed
            if isQuantized, type == .f64 { type = .f32 }
            items.append(Item(entry: entry, decision: decision, type: type))
        }
        let quantized = items.filter(\.isQuantized)
        guard let first = quantized.first else {
            throw CrayonError(
                .unsupported, in: checkpoint.place, found: "no linear layer among \(items.count) tensors",
                expected: "weights of nn.Linear", advice: "There is nothing here that bitsandbytes would quantize.")
        }
        let already = items.filter { !ElementType.allCases.map(\.rawValue).contains($0.entry.encoding) }
        if !already.isEmpty {
            warnings.append(
                "weights that were quantized already, and were quantized again from their numbers: \(already.count)")
        }
        self.items = items
        let listed = family.isProven ? options.skips : Self.kept(items, family, options.skips ?? [])
        if !family.isProven {
            warnings.append(
                "this family is not among those whose checkpoints have been held against transformers' own; "
                    + "llm_int8_skip_modules lists what was left alone, whatever transformers would do by itself")
        }
        var object = config.object
        if options.type != nil || (object["dtype"] == nil && object["torch_dtype"] == nil) {
            let key = object["torch_dtype"] != nil && object["dtype"] == nil ? "torch_dtype" : "dtype"
            object[key] = first.type.torchName.map(JSONValue.string)
        }
        object["quantization_config"] = BitsandbytesCheckpoint.fourBits(
            type: .nf4, computeType: first.type, isDouble: options.quantizer.doubleQuantization, skipped: listed)
        configurationText = JSONValue.object(object).text(style: .pretty(indent: 2)) + "\n"
    }

    /// Modules that would be taken for linear layers if nothing were said, and were left alone.
    private static func kept(_ items: [Item], _ family: ModelFamily, _ skips: [String]) -> [String] {
        var listed = skips
        let quantized = items.filter(\.isQuantized).compactMap { LinearWeights.module(of: $0.entry.name) }
        for item in items where !item.isQuantized && item.entry.shape.rank == 2 && item.entry.type.isFloat {
            guard let module = LinearWeights.module(of: item.entry.name) else { continue }
            let alone = ModuleSkips([module])
            if !listed.contains(module), !quantized.contains(where: alone.contains) { listed.append(module) }
        }
        // A head that shares the embeddings' weight has none of its own in the file, and is named as heads are.
        if skips.isEmpty, !items.contains(where: { $0.decision == .kept(.head) }) {
            for head in LinearWeights.heads {
                let covers = ModuleSkips([head])
                if !quantized.contains(where: covers.contains) { listed.append(head) }
            }
        }
        return listed + family.float32Modules.filter { !listed.contains($0) }
    }
}

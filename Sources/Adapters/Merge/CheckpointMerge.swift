import Bytes
import Checkpoints
import JSON
import Quantization
import Tensors

/// A merge of a checkpoint into a checkpoint folder: the same tensors under the same names, and the small files beside them.
///
/// With a dense target type the whole checkpoint has that type: transformers gives a model one type. A 4-bit checkpoint
/// loses its `quantization_config` then.
struct CheckpointMerge {
    let merge: AdapterMerge
    let checkpoint: any Checkpoint
    private let weights: WeightMerge

    /// Bytes of results that wait for the disk at most.
    private static let queueLimit = 256 << 20

    init(merge: AdapterMerge, checkpoint: any Checkpoint) {
        self.merge = merge
        self.checkpoint = checkpoint
        weights = WeightMerge(options: merge.options, place: checkpoint.place)
    }

    func run(
        to output: String, _ resume: ResumeFolder, _ progress: (AdapterMerge.Progress) -> Void
    ) throws(CrayonError) -> MergeReport {
        let plan = try MergePlan(merge.adapter, base: merge.base)
        let kinds = Dictionary(uniqueKeysWithValues: plan.works.map { ($0.weight.name, $0.kind) })
        let items = try merge.base.weights.map { (weight) throws(CrayonError) in
            Item(
                weight: weight, kind: kinds[weight.name], declarations: try declarations(of: weight, kinds[weight.name])
            )
        }
        var report = MergeReport(base: merge.base.place, output: output, adapters: merge.names)
        let small = try carriedFiles()
        let writer = try ShardedSafetensorsWriter(
            folder: output, declarations: items.flatMap(\.declarations), shardLimit: merge.options.shardLimit,
            overwrites: merge.options.overwrites || resume.goesOn, keptIn: resume.path)
        let earlier = items.prefix(WeightJournal(resume).resumedCount).flatMap(\.declarations)
        if !earlier.allSatisfy({ writer.holds($0.name) }) { try resume.startAnew() }
        let journal = try CheckpointJournal(writer, resume)
        let queue = BoundedQueue(limit: Self.queueLimit)
        let total = items.reduce(0) { $0 + $1.byteCount }
        var done = 0
        do throws(CrayonError) {
            for (index, item) in items.enumerated() {
                progress(AdapterMerge.Progress(tensor: item.weight.name, done: done, total: total))
                if index < journal.resumedCount {
                    for declaration in item.declarations { writer.skip(declaration.name) }
                } else {
                    if index + 1 < items.count { checkpoint.willNeed(items[index + 1].weight.name) }
                    let (tensors, layer) = try make(item)
                    try queue.add(bytes: item.byteCount) { () throws(CrayonError) in
                        for tensor in tensors { try writer.write(tensor) }
                        try journal.didWrite(
                            index, bytes: item.byteCount, layer: layer, isLast: index == items.count - 1)
                    }
                    checkpoint.dontNeed(item.weight.name)
                }
                done += item.byteCount
            }
            try queue.finish()
        } catch {
            queue.cancel()
            throw error
        }
        progress(AdapterMerge.Progress(tensor: "", done: total, total: total))
        try merge.checkUnchanged()
        report.layers = journal.layers
        report.replaced = plan.works.compactMap { if case .pair = $0.kind { nil } else { $0.weight.name } }
        for file in small { try AtomicFile.write(file.bytes, to: "\(output)/\(file.name)") }
        try AtomicFile.write(Array(report.stored.utf8), to: "\(output)/\(MergeReport.fileName)")
        // A folder that has its weights is whole.
        try writer.commit()
        return report
    }

    // MARK: Tensors

    /// A weight and the tensors that it becomes.
    private struct Item {
        let weight: BaseWeight
        let kind: MergePlan.Kind?
        let declarations: [SafetensorsWriter.Declaration]

        var byteCount: Int { declarations.reduce(0) { $0 + $1.byteCount } }
    }

    /// The type that every weight gets; nil where each keeps its own.
    private var denseType: ElementType? { merge.options.into.denseType }

    private func declarations(
        of weight: BaseWeight, _ kind: MergePlan.Kind?
    ) throws(CrayonError) -> [SafetensorsWriter.Declaration] {
        if merge.options.into == .nf4, weight.storage == .dense, case .pair? = kind {
            throw CrayonError(
                .usage, in: "--into", found: "nf4 for '\(weight.name)', which is not 4-bit in \(checkpoint.place)",
                expected: "a type that the base has",
                advice: "Merge with --into source and quantize the result: the bytes are the same.")
        }
        if let denseType, weight.type.isFloat {
            return [.init(name: weight.name, type: denseType, shape: weight.shape)]
        }
        guard weight.storage == .nf4 else {
            return [.init(name: weight.name, type: weight.type, shape: weight.shape)]
        }
        let state = weight.name + NF4Tensor.Component.quantState.rawValue
        let components = try tensors(componentNames(of: weight))
        guard case .pair? = kind else { return components.map(SafetensorsWriter.Declaration.init) }
        return components.map { tensor in
            guard tensor.name == state else { return .init(tensor) }
            return .init(name: state, type: tensor.type, shape: Shape([tensor.region.count + Self.stateRoom]))
        }
    }

    /// The text that describes a 4-bit weight has the mean of its scales in it, which a merge changes, and its length with
    /// it, while the header has to say it first. So the text gets room for the longest number, and spaces behind it.
    private static let stateRoom = 24

    /// Tensors as the base has them.
    private func tensors(_ names: [String]) throws(CrayonError) -> [Tensor] {
        var tensors: [Tensor] = []
        for name in names {
            if let tensor = try checkpoint.tensor(name) { tensors.append(tensor) }
        }
        return tensors
    }

    /// The names of a 4-bit weight's tensors, in the file's order.
    private func componentNames(of weight: BaseWeight) -> [String] {
        let names = Set([weight.name] + NF4Tensor.Component.allCases.map { weight.name + $0.rawValue })
        return [weight.name] + checkpoint.names.filter { $0 != weight.name && names.contains($0) }
    }

    private func make(_ item: Item) throws(CrayonError) -> ([Tensor], MergedLayer?) {
        let name = item.weight.name
        switch item.kind {
        case .pair(let module, let whole)?:
            let stored = try weights.stored(item.weight, over: whole, in: merge.base)
            let result = try weights.merge(module, into: stored, named: name)
            return (try tensors(result.weight, item), result.layer)
        case .bias(let module, let whole)?:
            let stored = try weights.stored(item.weight, over: whole, in: merge.base)
            let sum = try weights.addBias(of: module, to: stored, named: name)
            return ([try weights.cast(sum, to: denseType ?? sum.type, named: name)], nil)
        case .replacement(let tensor)?:
            return ([try weights.cast(tensor, to: denseType ?? item.weight.type, named: name)], nil)
        case nil:
            guard let denseType, item.weight.type.isFloat else {
                return (try tensors(item.declarations.map(\.name)), nil)
            }
            let stored = try merge.base.stored(name)
            if case .dense(let tensor) = stored { return ([try weights.cast(tensor, to: denseType, named: name)], nil) }
            return ([try weights.cast(stored.tensor(named: name), to: denseType, named: name)], nil)
        }
    }

    /// A merged weight as the base's file has it: codes may lie under another type there (`quant_storage`).
    private func tensors(_ weight: StoredWeight, _ item: Item) throws(CrayonError) -> [Tensor] {
        switch weight {
        case .dense(let tensor): return [tensor.named(item.weight.name)]
        case .int8: preconditionFailure("no checkpoint has 8-bit weights of this kind")
        case .nf4(let tensor):
            var parts: [String: Tensor] = [:]
            for part in tensor.components(named: item.weight.name) { parts[part.name] = part }
            return try item.declarations.map { (declaration) throws(CrayonError) in
                if declaration.name == item.weight.name + NF4Tensor.Component.quantState.rawValue {
                    var text = Array(tensor.quantState.text.utf8)
                    precondition(text.count <= declaration.byteCount)
                    text += [UInt8](repeating: UInt8(ascii: " "), count: declaration.byteCount - text.count)
                    return Tensor(name: declaration.name, bytes: text)
                }
                guard let part = parts[declaration.name], part.region.count == declaration.byteCount else {
                    throw CrayonError(
                        .unsupported, in: checkpoint.place, item: "tensor '\(declaration.name)'",
                        found: "\(declaration.type.rawValue) \(declaration.shape)",
                        expected: "4-bit tensors as bitsandbytes saves them, with scales of F32 or 8 bits")
                }
                return Tensor(
                    name: declaration.name, type: declaration.type, shape: declaration.shape, region: part.region)
            }
        }
    }

    // MARK: Small files

    private func carriedFiles() throws(CrayonError) -> [(name: String, bytes: [UInt8])] {
        try smallFiles(beside: merge.base.place).map { (file) throws(CrayonError) in
            guard file.name == "config.json" else { return (file.name, file.region.array) }
            guard let denseType else {
                let isDequantized = (merge.base as? CheckpointBase)?.isDequantized == true
                let kept = isDequantized ? try file.withoutQuantization(in: merge.base.place) : file
                return (kept.name, kept.region.array)
            }
            let place = "\(merge.base.place): \(file.name)"
            var config = try JSONReader(
                JSONValue.parse(file.region, name: place, limits: .init(depth: 64)), place: place
            )
            .object
            config["quantization_config"] = nil
            let key = config["dtype"] != nil ? "dtype" : "torch_dtype"
            config[key] = denseType.torchName.map(JSONValue.string)
            return (file.name, Array((JSONValue.object(config).text(style: .pretty(indent: 2)) + "\n").utf8))
        }
    }
}

/// What of a merged checkpoint is on disk, see `WeightJournal`.
private final class CheckpointJournal: @unchecked Sendable {
    private let writer: ShardedSafetensorsWriter
    private let journal: WeightJournal
    private(set) var layers: [MergedLayer] = []
    private var savedLayers: Int
    private var bytesWritten = 0

    init(_ writer: ShardedSafetensorsWriter, _ resume: ResumeFolder) throws(CrayonError) {
        self.writer = writer
        journal = WeightJournal(resume)
        for record in WeightJournal.records(resume) {
            for layer in try record.objects("layers") {
                var measures: [String: Double] = [:]
                for name in MergedLayer.measureNames { measures[name] = try layer.double(name) }
                layers.append(MergedLayer(try layer.string("name"), measures: measures))
            }
        }
        savedLayers = layers.count
    }

    var resumedCount: Int { journal.resumedCount }

    func didWrite(
        _ index: Int, bytes: Int, layer: MergedLayer?, isLast: Bool
    ) throws(CrayonError) {
        if let layer { layers.append(layer) }
        bytesWritten += bytes
        try journal.didWrite(index, bytesWritten: bytesWritten, isLast: isLast) { () throws(CrayonError) in
            try writer.flush()
            let saved = layers[savedLayers...].map { layer in
                var object = JSONObject(["name": .string(layer.name)])
                for name in MergedLayer.measureNames { object[name] = .double(layer.measures[name] ?? 0) }
                return JSONValue.object(object)
            }
            savedLayers = layers.count
            return JSONObject(["layers": .array(saved)])
        }
    }
}

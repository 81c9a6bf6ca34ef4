import Architecture
public import Bytes
import JSON
public import Quantization
public import Tensors

/// A decoder from a GGUF file of llama.cpp, as the checkpoint that it was converted from: Hugging Face's names, rows in their own order,
/// `wqkv` in one, and the small files that a checkpoint has beside it.
///
/// Quantized tensors give float32, dequantized by every call; others have their type.
public struct GGUFModel: Checkpoint {
    public let file: GGUFFile
    public let names: [String]
    /// config.json, and what there is of a tokenizer.
    public let files: [AuxiliaryFile]
    public let warnings: [String]
    private let sources: [String: Source]
    private let backbone: BackboneConfiguration
    private let turnsRows: Bool

    /// What a tensor is made from.
    private struct Source {
        /// Names in the file; several for a fused tensor.
        var parts: [String]
        /// The module whose rows are in another order.
        var module: BackboneModule?
        var shape: Shape
        var type: ElementType
    }

    /// - Throws: `CrayonError` for an architecture, or settings of it, that Crayon does not run, and for metadata that are missing.
    public init(_ file: GGUFFile) throws(CrayonError) {
        let parameters = try GGUFHyperparameters(file)
        self.file = file
        backbone = parameters.backbone
        turnsRows = parameters.architecture.turnsRows
        let layout: Layout = parameters.architecture == .internLM2 ? .internLM2 : .llama
        var sources: [String: Source] = [:]
        var names: [String] = []
        // Rotary frequencies are part of config.json.
        for name in file.names where name != GGUFFrequencies.name {
            guard let stored = file.stored(name) else { continue }
            let (given, source) = try Self.source(
                name, stored, in: file, layout: layout, backbone: backbone, turns: turnsRows)
            if sources.updateValue(source, forKey: given) == nil { names.append(given) }
        }
        self.sources = sources
        self.names = names
        let tokenizer = try GGUFTokenizer(file, begin: parameters.begin, end: parameters.end)
        let text = parameters.configuration.text(style: .pretty(indent: 2)) + "\n"
        let made = [(name: "config.json", bytes: Array(text.utf8))] + tokenizer.files
        files = made.map { AuxiliaryFile(name: $0.name, region: ByteRegion(copying: $0.bytes)) }
        warnings = tokenizer.warnings
    }

    /// The name that a tensor has in a checkpoint, and what that consists of. A tensor that llama.cpp's decoders do not have keeps its name.
    private static func source(
        _ name: String, _ stored: GGMLTensor, in file: GGUFFile, layout: Layout, backbone: BackboneConfiguration,
        turns: Bool
    ) throws(CrayonError) -> (String, Source) {
        var source = Source(
            parts: [name], module: nil, shape: stored.shape, type: stored.type.elementType ?? .f32)
        guard let role = GGUFNames.role(of: name) else { return (name, source) }
        let parts = role.rawValue.split(separator: ".")
        let module = parts.count == 6 ? BackboneModule(rawValue: parts[3...4].joined(separator: ".")) : nil
        guard let module, module == .query || module == .key || module == .value else {
            return (layout.sourceName(of: role) ?? name, source)
        }
        let isFused = backbone.attentionForm == .fused
        guard isFused, let layer = Int(parts[2]), let kind = ParameterKind(rawValue: String(parts[5])) else {
            if turns, module != .value {
                try check(stored, rows: backbone.extents(of: module).out, backbone, file)
                source.module = module
            }
            return (layout.sourceName(of: role) ?? name, source)
        }
        let fused = Role.backbone(layer, .qkv, kind)
        guard let given = layout.sourceName(of: fused) else { return (name, source) }
        source.parts = ["q", "k", "v"].map { "blk.\(layer).attn_\($0).\(kind.rawValue)" }
        source.module = .qkv
        var rows = 0
        var types: Set<GGMLType> = []
        for (part, module) in zip(source.parts, [BackboneModule.query, .key, .value]) {
            guard let tensor = file.stored(part) else {
                throw CrayonError(
                    .missing, in: file.place, item: "tensor '\(part)'", found: "nothing",
                    expected: "one beside '\(name)'")
            }
            try check(tensor, rows: backbone.extents(of: module).out, backbone, file)
            guard tensor.shape.dims.dropFirst() == stored.shape.dims.dropFirst() else {
                throw CrayonError(
                    .mismatch, in: file.place, item: "tensor '\(part)'", found: "shape \(tensor.shape)",
                    expected: "rows as those of '\(name)', \(stored.shape)")
            }
            rows += tensor.shape[0]
            types.insert(tensor.type)
        }
        source.shape = Shape([rows] + stored.shape.dims.dropFirst())
        source.type = types.count == 1 ? stored.type.elementType ?? .f32 : .f32
        return (given, source)
    }

    /// Rows are brought into another order by what the metadata say of heads, so they must be as many.
    private static func check(
        _ tensor: GGMLTensor, rows: Int, _ backbone: BackboneConfiguration, _ file: GGUFFile
    ) throws(CrayonError) {
        guard (1...2).contains(tensor.shape.rank), tensor.shape[0] == rows else {
            throw CrayonError(
                .mismatch, in: file.place, item: "tensor '\(tensor.name)'", found: "shape \(tensor.shape)",
                expected: "\(rows) rows, for \(backbone.headCount) heads (\(backbone.keyValueHeadCount) key-value) of "
                    + "\(backbone.headSize)")
        }
        guard tensor.type.elementType?.isFloat ?? true else {
            throw CrayonError(
                .unsupported, in: file.place, item: "tensor '\(tensor.name)'",
                found: "elements of type \(tensor.type.label)", expected: "real numbers")
        }
    }

    public var place: String { file.place }

    public var format: String { file.format }

    public func file(of name: String) -> String { sources[name]?.parts.first.map { file.file(of: $0) } ?? place }

    public var sourceFiles: [SourceFile] { file.sourceFiles }

    public func willNeed(_ name: String) { for part in sources[name]?.parts ?? [] { file.willNeed(part) } }

    public func dontNeed(_ name: String) { for part in sources[name]?.parts ?? [] { file.dontNeed(part) } }

    public func checkUnchanged() throws(CrayonError) { try file.checkUnchanged() }

    public func entry(_ name: String) -> TensorEntry? {
        guard let source = sources[name] else { return nil }
        let parts = source.parts.compactMap { file.entry($0) }
        // Each type once, in the order of the parts.
        let encodings = parts.map(\.encoding)
        let differing = encodings.enumerated().filter { encodings.firstIndex(of: $1) == $0 }.map(\.element)
        return TensorEntry(
            name: name, type: source.type, shape: source.shape, encoding: differing.joined(separator: ", "),
            byteCount: parts.reduce(0) { $0 + $1.byteCount }, offset: parts.map(\.offset).min() ?? 0)
    }

    public func tensor(_ name: String) -> Tensor? {
        guard let source = sources[name] else { return nil }
        let parts = source.parts.compactMap { file.stored($0) }
        guard let module = source.module else { return parts.first?.dense().named(name) }
        guard source.shape.count > 0 else {
            return Tensor(name: name, type: source.type, shape: source.shape, region: ByteRegion(copying: []))
        }
        let rows = GGUFRows.of(module, in: backbone, turns: turnsRows)
        return gather(parts, rows, as: source).named(name)
    }

    /// Rows of llama.cpp's tensors in the checkpoint's order.
    private func gather(_ parts: [GGMLTensor], _ rows: [GGUFRows], as source: Source) -> Tensor {
        // Rows are whole blocks, so those of one type move as they are; of several types, as float32.
        let type = parts[0].type
        let isUniform = parts.allSatisfy { $0.type == type }
        let stored = isUniform ? parts : parts.map { Self.widened($0) }
        let rowBytes = source.shape[0] == 0 ? 0 : stored.reduce(0) { $0 + $1.region.count } / source.shape[0]
        let buffer = ByteBuffer(uninitialized: rowBytes * source.shape[0])
        for (part, order) in zip(stored, rows) {
            for row in 0..<part.shape[0] {
                (buffer.pointer + (order.rows?[row] ?? row) * rowBytes).copyMemory(
                    from: part.region.baseAddress + row * rowBytes, byteCount: rowBytes)
            }
        }
        return GGMLTensor(
            name: parts[0].name, type: isUniform ? type : .f32, shape: source.shape, region: buffer.region
        ).dense()
    }

    private static func widened(_ tensor: GGMLTensor) -> GGMLTensor {
        let dense = tensor.dense()
        guard dense.type != .f32 else {
            return GGMLTensor(name: tensor.name, type: .f32, shape: tensor.shape, region: dense.region)
        }
        let buffer = ByteBuffer(uninitialized: dense.shape.count * 4)
        StoredWeight.dense(dense).dequantize(
            elements: 0..<dense.shape.count, into: buffer.pointer.assumingMemoryBound(to: Float.self))
        return GGMLTensor(name: tensor.name, type: .f32, shape: tensor.shape, region: buffer.region)
    }
}

import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Quantization
import Tensors

extension GGUFPlan {
    /// The decoder as llama.cpp's own: what `convert_hf_to_gguf.py` makes of the same checkpoint.
    init(backbone model: any ModelSource, type: GGMLType?) throws(CrayonError) {
        self.init()
        let configuration = model.configuration
        let backbone = configuration.backbone
        guard var architecture = GGUFArchitecture(layout: configuration.layout) else {
            throw CrayonError(
                .unsupported, in: model.place, found: "a backbone of the layout '\(configuration.layout)'",
                expected: "one that llama.cpp knows: Llama, Mistral, Qwen2 or InternLM2")
        }
        // llama.cpp's InternLM2 has no biases; taken apart it is a Llama, which may.
        if architecture == .internLM2, backbone.hasOutputBias || backbone.hasMLPBias || backbone.hasQueryKeyValueBias {
            architecture = .llama
        }
        // Of these architectures it reads a Llama's frequencies only, which may have Qwen2's biases.
        let divisors = backbone.rope.frequencyDivisors(headSize: backbone.headSize)
        if divisors != nil { architecture = .llama }
        addGeneral(architecture: architecture.name, name: Self.name(of: model), type: type)
        addParameters(backbone, architecture.name)
        let vocabulary = try GGUFVocabulary(model, isInternLM2: architecture == .internLM2)
        metadata += vocabulary.metadata
        warnings += vocabulary.warnings
        if let divisors {
            tensors.append(
                PlannedTensor(
                    name: GGUFFrequencies.name, type: .f32, shape: Shape([divisors.count]), source: .values(divisors)))
        }
        try addTensors(model, architecture, type)
        warnOfFallbacks()
        warnOfWhatIsLeft(configuration, in: model)
        warnOfCodes(model, type)
    }

    private mutating func addParameters(_ backbone: BackboneConfiguration, _ prefix: String) {
        func add(_ key: String, _ value: Int) {
            metadata.append(("\(prefix).\(key)", .uint32(UInt32(clamping: value))))
        }
        func add(_ key: String, _ value: Float) { metadata.append(("\(prefix).\(key)", .float32(value))) }
        add("vocab_size", backbone.vocabularySize)
        add("context_length", backbone.rope.maxPositions)
        add("embedding_length", backbone.hiddenSize)
        add("block_count", backbone.layerCount)
        add("feed_forward_length", backbone.intermediateSize)
        add("attention.head_count", backbone.headCount)
        add("attention.head_count_kv", backbone.keyValueHeadCount)
        add("attention.key_length", backbone.headSize)
        add("attention.value_length", backbone.headSize)
        add("attention.layer_norm_rms_epsilon", backbone.normEpsilon)
        add("rope.dimension_count", backbone.headSize)
        add("rope.freq_base", Float(backbone.rope.base))
        switch backbone.rope.scaling {
        // Frequencies of their own are a tensor.
        case .none, .llama3, .frequencies: break
        case .linear(let factor):
            metadata.append(("\(prefix).rope.scaling.type", .string("linear")))
            add("rope.scaling.factor", Float(factor))
        case .dynamic:
            warnings.append(
                "dynamic rotary scaling has no place in GGUF: llama.cpp computes otherwise past \(backbone.rope.maxPositions) "
                    + "positions")
        }
        if let window = backbone.slidingWindow {
            warnings.append("a sliding window of \(window) has no place in GGUF: llama.cpp attends to all positions")
        }
    }

    private mutating func addTensors(
        _ model: any ModelSource, _ architecture: GGUFArchitecture, _ type: GGMLType?
    ) throws(CrayonError) {
        let backbone = model.configuration.backbone
        let (hidden, vocabulary) = (backbone.hiddenSize, backbone.vocabularySize)
        // Rows beyond the vocabulary, such as the one for `<image>`, have no logits, and llama.cpp no room for them.
        if backbone.embeddingRows > vocabulary {
            warnings.append(
                "left out, beyond the vocabulary: \(backbone.embeddingRows - vocabulary) of \(backbone.embeddingRows) embeddings"
            )
        }
        try addMatrix(
            model, "token_embd.weight", .tokenEmbeddings, Shape([vocabulary, hidden]), type,
            isHead: backbone.isHeadTied)
        for layer in 0..<backbone.layerCount {
            addVector("blk.\(layer).attn_norm.weight", .attentionNorm(layer), hidden)
            for module in backbone.modules {
                let columns = backbone.extents(of: module).in
                for part in GGUFRows.of(module, in: backbone, turns: architecture.turnsRows) {
                    let rows = part.rows?.count ?? backbone.extents(of: module).out
                    let name = "blk.\(layer).\(part.module)"
                    try addMatrix(
                        model, name + ".weight", .backbone(layer, module), Shape([rows, columns]), type, rows: part.rows
                    )
                    if backbone.hasBias(module) {
                        tensors.append(
                            PlannedTensor(
                                name: name + ".bias", type: .f32, shape: Shape([rows]),
                                source: .weight(.backbone(layer, module, .bias), rows: part.rows)))
                    }
                }
            }
            addVector("blk.\(layer).ffn_norm.weight", .mlpNorm(layer), hidden)
        }
        addVector("output_norm.weight", .finalNorm, hidden)
        if !backbone.isHeadTied {
            try addMatrix(model, "output.weight", .head, Shape([vocabulary, hidden]), type, isHead: true)
        }
    }

    private mutating func addVector(_ name: String, _ role: Role, _ count: Int) {
        tensors.append(PlannedTensor(name: name, type: .f32, shape: Shape([count]), source: .weight(role, rows: nil)))
    }

    /// The head keeps six bits where others have four or five: it decides between tokens, and llama.cpp's own presets do so.
    private mutating func addMatrix(
        _ model: any ModelSource, _ name: String, _ role: Role, _ shape: Shape, _ wished: GGMLType?, rows: [Int]? = nil,
        isHead: Bool = false
    ) throws(CrayonError) {
        let small: Set<GGMLType> = [.q40, .q41, .q50, .q51, .iq4NL, .q4K, .q5K]
        let chosen: GGMLType
        if let wished {
            chosen = isHead && small.contains(wished) ? .q6K : wished
        } else {
            chosen = Self.sourceType(try Self.elementType(of: role, in: model))
        }
        tensors.append(
            PlannedTensor(
                name: name, type: type(chosen, columns: shape[1]), shape: shape, source: .weight(role, rows: rows)))
    }

    /// The type that a weight had before any quantization.
    static func elementType(of role: Role, in model: any ModelSource) throws(CrayonError) -> ElementType {
        // Without unpacking a bundle's weight.
        if let bundle = model as? BundleReader, let entry = bundle.entry(role) { return entry.coding.type }
        if let checkpoint = model as? CheckpointModel, let binding = checkpoint.binding(role) { return binding.type }
        guard let weight = try model.weight(role) else {
            throw CrayonError(.missing, in: model.place, item: "weight '\(role)'", found: "nothing")
        }
        return weight.sourceType
    }

    private mutating func warnOfWhatIsLeft(_ configuration: ModelConfiguration, in model: any ModelSource) {
        for set in configuration.lowRankSets {
            warnings.append(
                set.scope == .image || set.input == .crayon
                    ? "left out: the low-rank set '\(set.name)', which acts at image positions"
                        + (set.input == .crayon ? " and reads the crayon prompt" : "") + "; GGUF cannot say that"
                    : "left out: the low-rank set '\(set.name)'; merge it first ('crayon adapter merge'), or write it beside "
                        + "('crayon adapter convert --to gguf')")
        }
        if configuration.vision != nil {
            warnings.append(
                "left out: the vision tower and the projectors; '--mmproj' writes CLIP and the image projector")
        }
    }

    private mutating func warnOfCodes(_ model: any ModelSource, _ type: GGMLType?) {
        guard let type, type.isBlockFormat, let bundle = model as? BundleReader else { return }
        let count = bundle.manifest.weights.count { weight in
            weight.coding.kind == .nf4
                && tensors.contains {
                    if case .weight(let role, _) = $0.source { role == weight.role } else { false }
                }
        }
        guard count > 0 else { return }
        warnings.append(
            "\(count) weights are NF4 in the bundle: \(type.label) is made of what they stand for, and has the errors of both. A "
                + "bundle made with '--precision backbone=source' has those of one")
    }
}

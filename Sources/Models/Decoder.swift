import Architecture
import Bytes
import Checkpoints
import Layers
import Tensors

/// The backbone: token embeddings, blocks, final norm, output head.
struct Decoder: Sendable {
    let configuration: ModelConfiguration
    /// `[embeddingRows, hidden]`
    let embeddings: WeightTable
    let layers: [DecoderLayer]
    let finalNorm: RMSNorm
    let head: Linear
    let rotary: RotaryEmbedding

    /// Rows of a prompt that pass through the blocks at once: bounds the memory of activations.
    static let passRows = 2048

    init(_ configuration: ModelConfiguration, sets: [LowRankSet], _ loader: WeightLoader) throws(CrayonError) {
        let backbone = configuration.backbone
        try Decoder.check(backbone, place: loader.source.place)
        self.configuration = configuration
        embeddings = try loader.table(.tokenEmbeddings)
        var layers: [DecoderLayer] = []
        for layer in 0..<backbone.layerCount {
            layers.append(try DecoderLayer(layer, configuration: configuration, sets: sets, loader))
        }
        self.layers = layers
        finalNorm = RMSNorm(weight: try loader.vector(.finalNorm), epsilon: backbone.normEpsilon)
        head = try loader.head(backbone, embeddings: embeddings)
        rotary = RotaryEmbedding(backbone.rope, headSize: backbone.headSize)
    }

    private static func check(_ backbone: BackboneConfiguration, place: String) throws(CrayonError) {
        func require(_ holds: Bool, _ item: String, _ found: String, _ expected: String) throws(CrayonError) {
            if !holds { throw CrayonError(.mismatch, in: place, item: item, found: found, expected: expected) }
        }
        let (heads, groups) = (backbone.headCount, backbone.keyValueHeadCount)
        try require(
            groups > 0 && heads > 0 && heads % groups == 0, "attention heads",
            "\(heads) query and \(groups) key-value heads",
            "a multiple")
        try require(
            backbone.headSize > 2 && backbone.headSize % 2 == 0, "head size", "\(backbone.headSize)",
            "an even number over 2")
        try require(
            backbone.vocabularySize > 0 && backbone.embeddingRows >= backbone.vocabularySize, "embedding rows",
            "\(backbone.embeddingRows)", "at least the vocabulary's \(backbone.vocabularySize)")
        try require(
            backbone.rope.maxPositions > 0, "rope positions", "\(backbone.rope.maxPositions)", "a positive number")
        try require(
            backbone.slidingWindow ?? 1 > 0, "sliding window", "\(backbone.slidingWindow ?? 0)", "a positive number")
    }

    /// Runs a prompt behind what the state's cache holds.
    /// - Parameter rows: of the prompt, whose logits to compute, ascending.
    /// - Parameter logits: `[rows.count, vocabulary]`
    func forward(
        _ prompt: EmbeddedPrompt, rows: some RandomAccessCollection<Int>, state: DecoderState, into logits: MatrixView
    ) {
        precondition(logits.rows == rows.count && logits.columns == head.outputs)
        let past = state.count
        if admit(prompt, to: state) {
            run(prompt, rows: rows, state: state, into: logits)
        } else {
            runAgain(rows: rows.map { $0 + past }, state: state, into: logits)
        }
    }

    /// Makes a state ready to read a prompt.
    /// - Returns: false where the length that it grows to changes what earlier positions have computed, and all of it is to
    ///   run again.
    func admit(_ prompt: EmbeddedPrompt, to state: DecoderState) -> Bool {
        let length = state.count + prompt.count
        guard var inputs = state.inputs else {
            if rotary.changesBase(length: length) { state.cache.storeUnrotatedKeys(rotary: rotary) }
            return true
        }
        state.inputs = nil  // so that appending does not copy
        inputs.append(prompt)
        state.inputs = inputs
        let base = rotary.base(length: length)
        defer { state.base = base }
        return state.count == 0 || base == state.base
    }

    /// Runs all that a state has been fed.
    /// - Parameter rows: of the whole sequence.
    func runAgain(rows: some RandomAccessCollection<Int>, state: DecoderState, into logits: MatrixView) {
        guard let inputs = state.inputs else { preconditionFailure("a sequence that keeps no inputs") }
        state.cache.truncate(to: 0)
        run(inputs.prompt, rows: rows, state: state, into: logits)
    }

    private func run<Rows: RandomAccessCollection<Int>>(
        _ prompt: EmbeddedPrompt, rows: Rows, state: DecoderState, into logits: MatrixView
    ) {
        let workspace = state.workspace
        let cache = state.cache
        let length = cache.count + prompt.count
        cache.reserve(length)
        workspace.reserveScratch(cache.capacity)
        let table = rotary.table(length: length)
        let width = configuration.backbone.hiddenSize
        var wanted = rows[rows.startIndex...]
        for start in stride(from: 0, to: prompt.count, by: Decoder.passRows) {
            let part = start..<min(start + Decoder.passRows, prompt.count)
            state.sequences.removeAll(keepingCapacity: true)
            state.sequences.append(PassSequence(rows: 0..<part.count, cache: cache, rotary: table))
            let pass = DecoderPass(
                images: prompt.imageRuns(in: part), addsCrayon: configuration.crayon?.entry == .additive,
                sequences: state.sequences, workspace: workspace)
            let hidden = workspace.view(.residual, rows: part.count, columns: width)
            hidden.copy(from: prompt.hidden.view.rows(part))
            for layer in layers { layer.forward(hidden, pass: pass) }
            cache.advance(by: part.count)

            let here = wanted.prefix { $0 < part.upperBound }
            guard !here.isEmpty else { continue }
            let selected = workspace.view(.selected, rows: here.count, columns: width)
            for (index, row) in here.enumerated() {
                finalNorm.forward(hidden.rows(row - start..<row - start + 1), into: selected.rows(index..<index + 1))
            }
            let done = rows.count - wanted.count
            head.forward(selected, into: logits.rows(done..<done + here.count), workspace: workspace)
            wanted = wanted.dropFirst(here.count)
        }
        precondition(wanted.isEmpty, "a row outside the prompt")
    }

    /// - Parameter tokens: validated rows of the embedding table.
    func embed(_ tokens: some Collection<Int>, into hidden: MatrixView) {
        for (row, token) in tokens.enumerated() {
            embeddings.row(token, into: hidden.row(row))
        }
    }
}

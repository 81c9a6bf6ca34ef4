/// The decoder: RMS norm, rotary positions, grouped attention, SwiGLU.
public struct BackboneConfiguration: Codable, Equatable, Sendable {
    /// Rows of the output head: the tokens that can be produced.
    public var vocabularySize: Int
    /// Rows of the embedding table. The published CoLLaVO has one more than the vocabulary, for `<image>`.
    public var embeddingRows: Int
    public var hiddenSize: Int
    public var layerCount: Int
    public var headCount: Int
    public var keyValueHeadCount: Int
    public var headSize: Int
    public var intermediateSize: Int
    public var normEpsilon: Float
    public var rope: RotaryConfiguration
    /// One fused matrix (InternLM2) or three (Llama kin).
    public var attentionForm: AttentionForm
    /// Whether query, key and value projections have biases (InternLM-7B, Qwen2).
    public var hasQueryKeyValueBias: Bool
    /// Whether the attention output projection has a bias (InternLM-7B).
    public var hasOutputBias: Bool
    /// Whether gate, up and down have biases.
    public var hasMLPBias: Bool
    /// The head is the embedding table itself.
    public var isHeadTied: Bool
    /// A query sees at most this many of the latest positions, itself included; nil for all.
    public var slidingWindow: Int?
    /// The layers that the window applies to; nil for all. (Qwen2 leaves its first layers unwindowed.)
    public var firstWindowedLayer: Int?

    public enum AttentionForm: String, Codable, Sendable {
        case fused
        case separate
    }

    public init(
        vocabularySize: Int, embeddingRows: Int? = nil, hiddenSize: Int, layerCount: Int, headCount: Int,
        keyValueHeadCount: Int, headSize: Int? = nil, intermediateSize: Int, normEpsilon: Float = 1e-5,
        rope: RotaryConfiguration, attentionForm: AttentionForm, hasQueryKeyValueBias: Bool = false,
        hasOutputBias: Bool = false, hasMLPBias: Bool = false, isHeadTied: Bool = false, slidingWindow: Int? = nil,
        firstWindowedLayer: Int? = nil
    ) {
        self.vocabularySize = vocabularySize
        self.embeddingRows = embeddingRows ?? vocabularySize
        self.hiddenSize = hiddenSize
        self.layerCount = layerCount
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount
        self.headSize = headSize ?? hiddenSize / max(headCount, 1)
        self.intermediateSize = intermediateSize
        self.normEpsilon = normEpsilon
        self.rope = rope
        self.attentionForm = attentionForm
        self.hasQueryKeyValueBias = hasQueryKeyValueBias
        self.hasOutputBias = hasOutputBias
        self.hasMLPBias = hasMLPBias
        self.isHeadTied = isHeadTied
        self.slidingWindow = slidingWindow
        self.firstWindowedLayer = firstWindowedLayer
    }

    /// The linear layers of one block in the order that files have them.
    public var modules: [BackboneModule] {
        (attentionForm == .fused ? [.qkv] : [.query, .key, .value]) + [.output, .gate, .up, .down]
    }

    /// `[out, in]` of a block's linear layer.
    public func extents(of module: BackboneModule) -> (out: Int, in: Int) {
        let queryRows = headCount * headSize
        let keyRows = keyValueHeadCount * headSize
        return switch module {
        case .qkv: (queryRows + 2 * keyRows, hiddenSize)
        case .query: (queryRows, hiddenSize)
        case .key, .value: (keyRows, hiddenSize)
        case .output: (hiddenSize, queryRows)
        case .gate, .up: (intermediateSize, hiddenSize)
        case .down: (hiddenSize, intermediateSize)
        }
    }

    public func hasBias(_ module: BackboneModule) -> Bool {
        switch module {
        case .qkv, .query, .key, .value: hasQueryKeyValueBias
        case .output: hasOutputBias
        case .gate, .up, .down: hasMLPBias
        }
    }
}

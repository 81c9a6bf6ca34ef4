public import Architecture
public import Bytes
public import Checkpoints
public import Tensors

/// Low-rank pairs apart from any model: a PEFT folder, a set in a bundle, or the pairs in a published checkpoint.
public struct Adapter: Sendable {
    public var name: String
    /// Folder or file, as the user named it.
    public let place: String
    /// The positions that the pairs act at; PEFT's act at all.
    public var scope: LowRankSet.Scope
    /// What the pairs read; PEFT's read what the layer itself reads.
    public var input: LowRankSet.Input
    /// In the order of their names, numbers counting as such: layer 2 before layer 10. Changed pairs are not what the files
    /// were written for, so a change takes these away.
    public var modules: [AdapterModule] {
        didSet {
            files = []
            promises = nil
        }
    }
    /// Tensors that stand in the place of the base's: `modules_to_save`, trained biases, resized embeddings.
    public var replacements: [AdapterReplacement]
    /// What its files say that it was trained on; nobody checks the name, so it only explains shapes that do not fit.
    public var baseName: String?
    /// Small files that came with it. A writer of the same format puts them back as long as they say what the pairs are.
    public var files: [AuxiliaryFile]
    /// Whether its files promise a pair at a module of the base; nil where they name no modules but by the pairs.
    public var promises: (@Sendable (_ path: String) -> Bool)?
    /// Throws a `CrayonError` that names a file that has changed since the adapter was opened: asked by who has used its numbers.
    public let checkUnchanged: @Sendable () throws(CrayonError) -> Void

    public init(
        name: String, place: String, scope: LowRankSet.Scope = .all, input: LowRankSet.Input = .hidden,
        modules: [AdapterModule], replacements: [AdapterReplacement] = [], baseName: String? = nil,
        files: [AuxiliaryFile] = [], promises: (@Sendable (_ path: String) -> Bool)? = nil,
        checkUnchanged: @escaping @Sendable () throws(CrayonError) -> Void = { () throws(CrayonError) in }
    ) {
        self.name = name
        self.place = place
        self.scope = scope
        self.input = input
        self.modules = modules
        self.replacements = replacements
        self.baseName = baseName
        self.files = files
        self.promises = promises
        self.checkUnchanged = checkUnchanged
    }

    /// Why the pairs are no change of the weight that they lie beside; nil where they are one.
    public var reasonAgainstMerging: String? {
        switch (scope, input) {
        case (.all, .hidden): nil
        case (_, .crayon): "pairs that read the crayon prompt, not what the layer reads"
        case (.image, .hidden): "pairs that act at image positions only: in the weight they would act on text too"
        }
    }
}

/// The pair of one module: `delta = scale * b a`, in the orientation of the base's weight.
public struct AdapterModule: Sendable {
    public enum Kind: String, Sendable {
        /// a `[rank, in]`, b `[out, rank]`; delta `[out, in]`
        case linear
        /// a `[rank, rows]`, b `[width, rank]`; delta is the transpose of b a, `[rows, width]`
        case embedding
    }

    /// The module in the base, without `.weight`: `model.layers.0.self_attn.q_proj`.
    public var path: String
    public var kind: Kind
    public var rank: Int
    public var alpha: Double
    /// alpha / sqrt(rank) instead of alpha / rank (Kalajdzievski 2023).
    public var isRankStabilized: Bool
    public var a: AdapterFactor
    public var b: AdapterFactor
    /// DoRA's norms of the rows of W + delta, `[out]` (Liu et al. 2024).
    public var magnitude: Tensor?
    /// `lora_B.bias`, `[out]`: added to the module's bias times the scale.
    public var bias: Tensor?
    /// The base holds this weight as `[in, out]` (GPT-2's Conv1D): the delta is transposed.
    public var isTransposed: Bool

    public init(
        path: String, kind: Kind = .linear, rank: Int, alpha: Double, isRankStabilized: Bool = false,
        a: AdapterFactor, b: AdapterFactor, magnitude: Tensor? = nil, bias: Tensor? = nil, isTransposed: Bool = false
    ) {
        self.path = path
        self.kind = kind
        self.rank = rank
        self.alpha = alpha
        self.isRankStabilized = isRankStabilized
        self.a = a
        self.b = b
        self.magnitude = magnitude
        self.bias = bias
        self.isTransposed = isTransposed
    }

    public var scale: Double { isRankStabilized ? alpha / Double(rank).squareRoot() : alpha / Double(rank) }

    /// What the base's weight must be shaped like.
    public var weightShape: Shape {
        let out = b.shape.dims[0]
        let input = a.shape.dims[1]
        return kind == .embedding || isTransposed ? Shape([input, out]) : Shape([out, input])
    }
}

/// Half of a pair: a tensor that is loaded when it is needed, since the sets of a 7B model are gigabytes and lie packed.
public struct AdapterFactor: Sendable {
    public let name: String
    public let type: ElementType
    public let shape: Shape
    private let fetch: @Sendable () throws(CrayonError) -> Tensor

    public init(
        name: String, type: ElementType, shape: Shape, fetch: @escaping @Sendable () throws(CrayonError) -> Tensor
    ) {
        self.name = name
        self.type = type
        self.shape = shape
        self.fetch = fetch
    }

    /// A tensor that is at hand, or mapped.
    public init(_ tensor: Tensor) {
        self.init(name: tensor.name, type: tensor.type, shape: tensor.shape) { tensor }
    }

    /// - Throws: `CrayonError` when a packed tensor is damaged.
    public func tensor() throws(CrayonError) -> Tensor { try fetch() }
}

/// A tensor of an adapter that replaces one of the base's.
public struct AdapterReplacement: Sendable {
    /// The base's name: `model.embed_tokens.weight`.
    public var name: String
    public var tensor: Tensor

    public init(name: String, tensor: Tensor) {
        self.name = name
        self.tensor = tensor
    }
}

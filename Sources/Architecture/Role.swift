/// What a tensor does in the model, by one canonical name whatever the layout that it came from.
///
/// The grammar, with `N` a layer and `SET` the name of a low-rank set:
///
///     embeddings.tokens.weight
///     backbone.layers.N.{attention_norm|mlp_norm}.weight
///     backbone.layers.N.attention.{qkv | q|k|v}.{weight|bias}
///     backbone.layers.N.attention.o.{weight|bias}
///     backbone.layers.N.mlp.{gate|up|down}.{weight|bias}
///     backbone.norm.weight
///     head.weight
///     vision.class_embedding
///     vision.patch_embedding.weight
///     vision.position_embedding.weight
///     vision.{pre_norm|post_norm}.{weight|bias}
///     vision.layers.N.{norm1|norm2}.{weight|bias}
///     vision.layers.N.attention.{q|k|v|o}.{weight|bias}
///     vision.layers.N.mlp.{fc1|fc2}.{weight|bias}
///     projectors.{image|crayon}.{0|2}.{weight|bias}
///     crayon.{semantic|numbering}.weight
///     adapters.SET.layers.N.<module>.{a|b}.weight      <module> as under backbone.layers.N
public struct Role: Hashable, Codable, Sendable, RawRepresentable, CustomStringConvertible {
    public let rawValue: String

    public init(rawValue: String) { self.rawValue = rawValue }
    public init(_ rawValue: String) { self.rawValue = rawValue }

    public init(from decoder: any Decoder) throws {
        rawValue = try decoder.singleValueContainer().decode(String.self)
    }
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }

    public var description: String { rawValue }

    /// The part that the name begins with; nil for a name outside the grammar.
    public var part: Part? { rawValue.split(separator: ".").first.flatMap { Part(rawValue: String($0)) } }
}

extension Role {
    public static let tokenEmbeddings = Role("embeddings.tokens.weight")
    public static let finalNorm = Role("backbone.norm.weight")
    public static let head = Role("head.weight")
    public static let semanticTable = Role("crayon.semantic.weight")
    public static let numberingTable = Role("crayon.numbering.weight")
    public static let classEmbedding = Role("vision.class_embedding")
    public static let patchEmbedding = Role("vision.patch_embedding.weight")
    public static let positionEmbedding = Role("vision.position_embedding.weight")

    public static func attentionNorm(_ layer: Int) -> Role { Role("backbone.layers.\(layer).attention_norm.weight") }
    public static func mlpNorm(_ layer: Int) -> Role { Role("backbone.layers.\(layer).mlp_norm.weight") }

    public static func backbone(_ layer: Int, _ module: BackboneModule, _ kind: ParameterKind = .weight) -> Role {
        Role("backbone.layers.\(layer).\(module.rawValue).\(kind.rawValue)")
    }

    public static func visionNorm(_ name: String, _ kind: ParameterKind) -> Role {
        Role("vision.\(name).\(kind.rawValue)")
    }

    /// - Parameter module: `attention.q`, `norm1`, `mlp.fc1`, …
    public static func vision(_ layer: Int, _ module: String, _ kind: ParameterKind) -> Role {
        Role("vision.layers.\(layer).\(module).\(kind.rawValue)")
    }

    public static func projector(_ projector: Projector, _ index: Int, _ kind: ParameterKind) -> Role {
        Role("projectors.\(projector.rawValue).\(index).\(kind.rawValue)")
    }

    public static func adapter(_ set: String, _ layer: Int, _ module: BackboneModule, _ factor: LowRankFactor) -> Role {
        Role("adapters.\(set).layers.\(layer).\(module.rawValue).\(factor.rawValue).weight")
    }
}

public enum ParameterKind: String, Sendable, CaseIterable {
    case weight
    case bias
}

/// The linear layers of a decoder block.
public enum BackboneModule: String, Codable, Sendable, CaseIterable {
    /// InternLM2's fused projection. Rows are grouped per key-value head: that group's query heads, its
    /// key head, its value head.
    case qkv = "attention.qkv"
    case query = "attention.q"
    case key = "attention.k"
    case value = "attention.v"
    case output = "attention.o"
    case gate = "mlp.gate"
    case up = "mlp.up"
    case down = "mlp.down"
}

/// The two multilayer perceptrons that carry image features and crayon queries into the backbone's width.
public enum Projector: String, Sendable, CaseIterable {
    case image
    case crayon
}

/// A low-rank pair's halves: `a` is `[rank, in]`, `b` is `[out, rank]`.
public enum LowRankFactor: String, Sendable, CaseIterable {
    case a
    case b
}

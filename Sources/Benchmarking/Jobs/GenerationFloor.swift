import Architecture
import BundleFormat
public import Bytes
public import Checkpoints
import Quantization
import Tensors

/// What the backbone must do at the least, from a model's configuration and the way in which its weights are stored.
public struct GenerationFloor: Sendable {
    /// Bytes of weights that every token touches: the blocks, the final norm and the head. Low-rank pairs count where they act at
    /// positions of text; keys and values, which grow with the context, do not count.
    public let weightBytes: Int
    /// Multiplications and additions of one token's linear layers, the head left out.
    private let linearOperations: Double
    private let headOperations: Double
    /// Those of one query and one key, over all layers.
    private let pairOperations: Double

    /// - Throws: `CrayonError` for a weight that cannot be read.
    public init(_ source: any ModelSource) throws(CrayonError) {
        let configuration = source.configuration
        let backbone = configuration.backbone
        let acting = Set(configuration.lowRankSets.filter { $0.isActive && $0.scope == .all }.map(\.name))
        var bytes = 0
        var linear = 0.0
        for parameter in configuration.parameters {
            switch parameter.part {
            case .backbone: break
            case .head: break
            case .embeddings where backbone.isHeadTied: break
            case .adapters where acting.contains { parameter.role.rawValue.hasPrefix("adapters.\($0).") }: break
            default: continue
            }
            guard let stored = try Self.bytes(of: parameter.role, in: source) else { continue }
            bytes += stored
            if parameter.isMatrix, parameter.part != .head, parameter.part != .embeddings {
                linear += 2 * Double(parameter.shape.count)
            }
        }
        weightBytes = bytes
        linearOperations = linear
        headOperations = 2 * Double(backbone.vocabularySize * backbone.hiddenSize)
        pairOperations = 4 * Double(backbone.layerCount * backbone.headCount * backbone.headSize)
    }

    /// One decoding step.
    public var step: Floor { Floor([.memoryRead: Double(weightBytes)]) }

    /// A prompt, whose last position alone goes through the head.
    public func prompt(_ tokens: Int) -> Floor { Floor([.products: operations(ofPrompt: tokens)]) }

    func operations(ofPrompt tokens: Int) -> Double {
        linearOperations * Double(tokens) + headOperations
            + pairOperations * Double(tokens) * Double(tokens + 1) / 2
    }

    /// Bytes of a weight as it lies in memory; nil where the model has none. What a bundle has packed is not unpacked for that.
    private static func bytes(of role: Role, in source: any ModelSource) throws(CrayonError) -> Int? {
        if let bundle = source as? BundleReader, let entry = bundle.entry(role), entry.coding.kind == .packed {
            return entry.coding.shape.reduce(1, *) * entry.coding.type.byteCount
        }
        return try source.weight(role)?.byteCount
    }
}

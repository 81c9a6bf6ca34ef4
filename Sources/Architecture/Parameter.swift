public import Tensors

/// A tensor that a model of some configuration must or may have.
public struct Parameter: Hashable, Sendable {
    public let role: Role
    public let part: Part
    public let shape: Shape
    /// A weight that multiplies or a table that is looked up, and so may be quantized; the rest
    /// (norms, biases, position and class embeddings, the patch convolution) may only change its float type.
    public let isMatrix: Bool
    /// Absence is an error.
    public let isRequired: Bool
}

extension ModelConfiguration {
    /// Every parameter, in the order in which a bundle holds them and a forward pass needs them.
    public var parameters: [Parameter] {
        var list: [Parameter] = []
        func add(_ role: Role, _ dims: [Int], matrix: Bool = false, required: Bool = true) {
            guard let part = role.part else { preconditionFailure("role '\(role)' names no part") }
            list.append(
                Parameter(role: role, part: part, shape: Shape(dims), isMatrix: matrix, isRequired: required))
        }

        if let vision {
            let width = vision.width
            let patch = vision.patchSize
            add(.classEmbedding, [width])
            add(.patchEmbedding, [width, 3, patch, patch])
            add(.positionEmbedding, [vision.positionRows, width])
            for kind in ParameterKind.allCases { add(.visionNorm("pre_norm", kind), [width]) }
            for layer in 0..<vision.layerCount {
                // Layers behind the features are carried and not used.
                let used = layer < vision.usedLayerCount
                for kind in ParameterKind.allCases { add(.vision(layer, "norm1", kind), [width], required: used) }
                for module in ["attention.q", "attention.k", "attention.v", "attention.o"] {
                    add(.vision(layer, module, .weight), [width, width], matrix: true, required: used)
                    add(.vision(layer, module, .bias), [width], required: used)
                }
                for kind in ParameterKind.allCases { add(.vision(layer, "norm2", kind), [width], required: used) }
                add(.vision(layer, "mlp.fc1", .weight), [vision.intermediateSize, width], matrix: true, required: used)
                add(.vision(layer, "mlp.fc1", .bias), [vision.intermediateSize], required: used)
                add(.vision(layer, "mlp.fc2", .weight), [width, vision.intermediateSize], matrix: true, required: used)
                add(.vision(layer, "mlp.fc2", .bias), [width], required: used)
            }
            // CLIP files carry it; the last hidden state is taken before it.
            for kind in ParameterKind.allCases { add(.visionNorm("post_norm", kind), [width], required: false) }
            let hidden = backbone.hiddenSize
            for projector in Projector.allCases where projector == .image || crayon != nil {
                let input = projector == .image ? width : crayon?.width ?? width
                add(.projector(projector, 0, .weight), [hidden, input], matrix: true)
                add(.projector(projector, 0, .bias), [hidden])
                add(.projector(projector, 2, .weight), [hidden, hidden], matrix: true)
                add(.projector(projector, 2, .bias), [hidden])
            }
        }
        if let crayon {
            add(.semanticTable, [crayon.semanticRows, crayon.width], matrix: true)
            add(.numberingTable, [crayon.numberingRows, crayon.width], matrix: true)
        }

        add(.tokenEmbeddings, [backbone.embeddingRows, backbone.hiddenSize], matrix: true)
        for layer in 0..<backbone.layerCount {
            add(.attentionNorm(layer), [backbone.hiddenSize])
            add(.mlpNorm(layer), [backbone.hiddenSize])
            for module in backbone.modules {
                let (out, input) = backbone.extents(of: module)
                add(.backbone(layer, module), [out, input], matrix: true)
                if backbone.hasBias(module) { add(.backbone(layer, module, .bias), [out]) }
            }
        }
        add(.finalNorm, [backbone.hiddenSize])
        if !backbone.isHeadTied { add(.head, [backbone.vocabularySize, backbone.hiddenSize], matrix: true) }

        for set in lowRankSets {
            for layer in 0..<backbone.layerCount {
                for module in backbone.modules {
                    let (out, input) = backbone.extents(of: module)
                    let source = set.input == .crayon ? backbone.hiddenSize : input
                    let rank = set.rank(layer: layer, module: module)
                    // A pair that does not act (the published seg pair of `w2`) is kept with the shape that the
                    // layer it lies beside would give it.
                    let acts = set.modules.contains(module)
                    let reads = acts ? source : input
                    add(.adapter(set.name, layer, module, .a), [rank, reads], matrix: true, required: acts)
                    add(.adapter(set.name, layer, module, .b), [out, rank], matrix: true, required: acts)
                }
            }
        }
        return list
    }
}

import Architecture
import Bytes
import Checkpoints
import Images
import Layers
import Tensors

/// The vision transformer of CLIP (Radford et al. 2021), without its last norm: what CoLLaVO and LLaVA read is the
/// hidden state of the patches after the last layer, or the one before it.
struct VisionTower: Sendable {
    let configuration: VisionConfiguration
    /// `[width, 3 * patch * patch]`
    let patchEmbedding: Linear
    /// Class position first, resized to the grid of the configuration. `[1 + patches, width]`
    let positions: Matrix
    /// `[width]`
    let classEmbedding: [Float]
    let preNorm: LayerNorm
    let layers: [VisionLayer]
    let attention: Attention

    init(_ configuration: VisionConfiguration, _ loader: WeightLoader) throws(CrayonError) {
        self.configuration = configuration
        let epsilon = configuration.normEpsilon
        let width = configuration.width
        let heads = configuration.headCount
        let place = loader.source.place
        guard heads > 0, width % heads == 0 else {
            throw CrayonError(
                .mismatch, in: place, item: "vision heads", found: "\(heads) heads for width \(width)",
                expected: "heads that divide the width")
        }
        let patch = configuration.patchSize
        guard patch > 0, configuration.imageSize >= patch, configuration.imageSize % patch == 0 else {
            throw CrayonError(
                .mismatch, in: place, item: "vision image size",
                found: "\(configuration.imageSize) pixels for patches of \(patch)", expected: "whole patches")
        }
        patchEmbedding = try loader.linear(.patchEmbedding)
        classEmbedding = try loader.vector(.classEmbedding)
        let table = try loader.vector(.positionEmbedding)
        positions = Matrix(
            rows: configuration.patchCount + 1, columns: width,
            values: try VisionTower.resized(table, configuration, place: place))
        preNorm = try loader.layerNorm(
            .visionNorm("pre_norm", .weight), .visionNorm("pre_norm", .bias), epsilon: epsilon)
        var layers: [VisionLayer] = []
        for layer in 0..<configuration.usedLayerCount {
            layers.append(try VisionLayer(layer, epsilon: epsilon, loader))
        }
        self.layers = layers
        attention = Attention(groupCount: heads, headsPerGroup: 1, headSize: width / heads, isCausal: false)
    }

    private static func resized(
        _ table: [Float], _ configuration: VisionConfiguration, place: String
    ) throws(CrayonError) -> [Float] {
        let rows = configuration.positionRows
        if rows == configuration.patchCount + 1 { return table }
        let side = Int(Double(max(rows - 1, 0)).squareRoot().rounded())
        guard side > 0, side * side + 1 == rows else {
            throw CrayonError(
                .mismatch, in: place, item: Role.positionEmbedding.rawValue, found: "\(rows) rows",
                expected: "one and a square number")
        }
        return BicubicGrid.resizePositionTable(
            table, sourceSide: side, side: configuration.gridSize, dim: configuration.width)
    }

    /// - Parameter pixels: `[3, imageSize, imageSize]`
    /// - Returns: `[patches, width]`
    func forward(_ pixels: [Float], workspace: Workspace) -> Matrix {
        let width = configuration.width
        let count = configuration.patchCount + 1
        // [1 + patches, width]: the class token's row, then the patches row by row of the grid.
        let hidden = Matrix(rows: count, columns: width)
        let patches = PatchEmbedding.columns(
            of: pixels, size: configuration.imageSize, patch: configuration.patchSize)
        hidden.row(0).baseAddress?.update(from: classEmbedding, count: width)
        patchEmbedding.forward(patches.view, into: hidden.view.rows(1..<count), workspace: workspace)
        Elementwise.add(positions.view, to: hidden.view)
        preNorm.forward(hidden.view, into: hidden.view)
        for layer in layers {
            layer.forward(
                hidden.view, attention: attention, activation: configuration.activation, workspace: workspace)
        }
        return hidden.rows(1..<count)
    }
}

/// One pre-norm block of the tower.
struct VisionLayer: Sendable {
    let norm1: LayerNorm
    let norm2: LayerNorm
    let query: Linear
    let key: Linear
    let value: Linear
    let output: Linear
    let fc1: Linear
    let fc2: Linear

    init(_ layer: Int, epsilon: Float, _ loader: WeightLoader) throws(CrayonError) {
        func linear(_ module: String) throws(CrayonError) -> Linear {
            try loader.linear(.vision(layer, module, .weight), bias: .vision(layer, module, .bias), seesManyRows: true)
        }
        func norm(_ module: String) throws(CrayonError) -> LayerNorm {
            try loader.layerNorm(
                .vision(layer, module, .weight), .vision(layer, module, .bias), epsilon: epsilon)
        }
        norm1 = try norm("norm1")
        norm2 = try norm("norm2")
        query = try linear("attention.q")
        key = try linear("attention.k")
        value = try linear("attention.v")
        output = try linear("attention.o")
        fc1 = try linear("mlp.fc1")
        fc2 = try linear("mlp.fc2")
    }

    /// - Parameter hidden: `[1 + patches, width]`, changed in place.
    func forward(
        _ hidden: MatrixView, attention: Attention, activation: VisionConfiguration.Activation, workspace: Workspace
    ) {
        let (rows, width) = (hidden.rows, hidden.columns)
        let normalized = workspace.view(.normalized, rows: rows, columns: width)
        let queries = workspace.view(.queries, rows: rows, columns: width)
        let keys = workspace.view(.keys, rows: rows, columns: width)
        let values = workspace.view(.values, rows: rows, columns: width)
        let mixed = workspace.view(.mixed, rows: rows, columns: width)
        norm1.forward(hidden, into: normalized)
        query.forward(normalized, into: queries, workspace: workspace)
        key.forward(normalized, into: keys, workspace: workspace)
        value.forward(normalized, into: values, workspace: workspace)
        attention.forward(
            queries: queries, groupStride: attention.headSize, keys: keys, values: values, into: mixed,
            workspace: workspace)
        output.forward(mixed, into: normalized, workspace: workspace)
        Elementwise.add(normalized, to: hidden)

        let inner = workspace.view(.gate, rows: rows, columns: fc1.outputs)
        norm2.forward(hidden, into: normalized)
        fc1.forward(normalized, into: inner, workspace: workspace)
        switch activation {
        case .quickGELU: Elementwise.quickGELU(inner)
        case .gelu: Elementwise.gelu(inner)
        }
        fc2.forward(inner, into: normalized, workspace: workspace)
        Elementwise.add(normalized, to: hidden)
    }
}

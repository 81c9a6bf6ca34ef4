import Architecture
import Bytes
import Layers

/// A linear layer of the backbone and the low-rank pairs that lie beside it.
struct AdaptedLinear: Sendable {
    let linear: Linear
    /// Act at every position.
    let everywhere: [LowRankPair]
    /// Act at image positions, on what the linear layer reads.
    let atImages: [LowRankPair]
    /// Act at image positions, on the crayon prompt.
    let onCrayon: [LowRankPair]

    init(
        layer: Int, module: BackboneModule, configuration: ModelConfiguration, sets: [LowRankSet],
        _ loader: WeightLoader
    ) throws(CrayonError) {
        linear = try loader.linear(
            .backbone(layer, module),
            bias: configuration.backbone.hasBias(module) ? .backbone(layer, module, .bias) : nil)
        var everywhere: [LowRankPair] = []
        var atImages: [LowRankPair] = []
        var onCrayon: [LowRankPair] = []
        for set in sets where set.modules.contains(module) {
            let pair = LowRankPair(
                a: try loader.linear(.adapter(set.name, layer, module, .a)),
                b: try loader.linear(.adapter(set.name, layer, module, .b)),
                scale: set.scale(layer: layer, module: module))
            switch (set.input, set.scope) {
            case (.crayon, _): onCrayon.append(pair)
            case (.hidden, .image): atImages.append(pair)
            case (.hidden, .all): everywhere.append(pair)
            }
        }
        self.everywhere = everywhere
        self.atImages = atImages
        self.onCrayon = onCrayon
    }

    /// - Parameters:
    ///   - x: `[tokens, in]`
    ///   - y: `[tokens, out]`, overwritten.
    func forward(_ x: MatrixView, into y: MatrixView, images: [ImageRun], workspace: Workspace) {
        linear.forward(x, into: y, workspace: workspace)
        for pair in everywhere { pair.accumulate(x, into: y, workspace: workspace) }
        for run in images {
            let rows = y.rows(run.rows)
            for pair in atImages { pair.accumulate(x.rows(run.rows), into: rows, workspace: workspace) }
            guard let crayon = run.crayon else { continue }
            for pair in onCrayon { pair.accumulate(crayon, into: rows, workspace: workspace) }
        }
    }
}

/// Consecutive image positions in the rows of a pass, and their crayon prompt.
struct ImageRun {
    let rows: Range<Int>
    /// `[rows.count, hidden]`
    let crayon: MatrixView?
}

extension EmbeddedPrompt {
    /// The image positions inside some of the prompt's rows, counted from the first of them.
    func imageRuns(in part: Range<Int>) -> [ImageRun] {
        var runs: [ImageRun] = []
        var crayonRow = 0
        for span in imageSpans {
            let inside = span.clamped(to: part)
            if !inside.isEmpty {
                let first = crayonRow + inside.lowerBound - span.lowerBound
                runs.append(
                    ImageRun(
                        rows: inside.lowerBound - part.lowerBound..<inside.upperBound - part.lowerBound,
                        crayon: crayon?.view.rows(first..<first + inside.count)))
            }
            crayonRow += span.count
        }
        return runs
    }
}

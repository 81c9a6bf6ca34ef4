import Architecture
import Bytes
import Layers

/// A linear layer of the backbone and the low-rank pairs that lie beside it.
struct AdaptedLinear: Sendable {
    let linear: Linear
    /// Act at every position.
    let everywhere: [AdaptedPair]
    /// Act at image positions, on what the linear layer reads.
    let atImages: [AdaptedPair]
    /// Act at image positions, on the crayon prompt.
    let onCrayon: [AdaptedPair]

    init(
        layer: Int, module: BackboneModule, configuration: ModelConfiguration, sets: [LowRankSet],
        _ loader: WeightLoader
    ) throws(CrayonError) {
        linear = try loader.linear(
            .backbone(layer, module),
            bias: configuration.backbone.hasBias(module) ? .backbone(layer, module, .bias) : nil)
        var everywhere: [AdaptedPair] = []
        var atImages: [AdaptedPair] = []
        var onCrayon: [AdaptedPair] = []
        for set in sets where set.modules.contains(module) {
            let (a, b) = (Role.adapter(set.name, layer, module, .a), Role.adapter(set.name, layer, module, .b))
            let forPictures = set.input == .crayon || set.scope == .image
            let pair = LowRankPair(
                a: try loader.linear(a, forPictures: forPictures), b: try loader.linear(b, forPictures: forPictures),
                scale: set.scale(layer: layer, module: module))
            let adapted = AdaptedPair(pair: pair, a: a, b: b)
            switch (set.input, set.scope) {
            case (.crayon, _): onCrayon.append(adapted)
            case (.hidden, .image): atImages.append(adapted)
            case (.hidden, .all): everywhere.append(adapted)
            }
        }
        self.everywhere = everywhere
        self.atImages = atImages
        self.onCrayon = onCrayon
    }

    /// - Parameters:
    ///   - x: `[tokens, in]`
    ///   - y: `[tokens, out]`, overwritten.
    ///   - dropout: while the pairs learn.
    func forward(
        _ x: MatrixView, into y: MatrixView, images: [ImageRun], dropout: LearningDropout? = nil, workspace: Workspace
    ) {
        linear.forward(x, into: y, workspace: workspace)
        for adapted in everywhere {
            adapted.pair.accumulate(x, dropout: dropout?.at(adapted), into: y, workspace: workspace)
        }
        for (index, run) in images.enumerated() {
            let rows = y.rows(run.rows)
            for adapted in atImages {
                adapted.pair.accumulate(
                    x.rows(run.rows), dropout: dropout?.at(adapted, run: index), into: rows, workspace: workspace)
            }
            guard let crayon = run.crayon else { continue }
            for adapted in onCrayon {
                adapted.pair.accumulate(
                    crayon, dropout: dropout?.at(adapted, run: index), into: rows, workspace: workspace)
            }
        }
    }
}

/// A low-rank pair at its place.
struct AdaptedPair: Sendable {
    let pair: LowRankPair
    let a: Role
    let b: Role
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

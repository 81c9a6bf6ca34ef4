import Architecture
import Layers
import Tensors

extension ProjectorMLP {
    /// The backward pass: adds to the gradients of what learns.
    /// - Parameters:
    ///   - dy: `[rows, hidden]`
    ///   - x: `[rows, features]`, what the projector read; its inner values are computed again.
    ///   - dx: `[rows, features]`, overwritten; nil where nobody asks.
    func backward(
        _ dy: MatrixView, x: MatrixView, into dx: MatrixView? = nil, learned: LearnedTensors, workspace: Workspace
    ) {
        func gradient(_ index: Int, _ kind: ParameterKind) -> MatrixView? {
            learned[.projector(projector, index, kind)]?.gradient.view
        }
        let inner = workspace.view(.gate, rows: x.rows, columns: first.outputs)
        first.forward(x, into: inner, workspace: workspace)
        if let bias = gradient(2, .bias) { LinearGradient.addBias(dy, to: bias) }
        if let weight = gradient(2, .weight) {
            let activated = workspace.view(.gated, rows: x.rows, columns: first.outputs)
            activated.copy(from: inner)
            Elementwise.gelu(activated)
            LinearGradient.addWeight(dy, x: activated, to: weight)
        }
        let (bias, weight) = (gradient(0, .bias), gradient(0, .weight))
        guard bias != nil || weight != nil || dx != nil else { return }
        let toInner = workspace.view(.projectorGradient, rows: x.rows, columns: first.outputs)
        second.inputGradient(dy, into: toInner, workspace: workspace)
        Elementwise.geluBackward(inner, gradient: toInner)
        if let bias { LinearGradient.addBias(toInner, to: bias) }
        if let weight { LinearGradient.addWeight(toInner, x: x, to: weight) }
        if let dx { first.inputGradient(toInner, into: dx, workspace: workspace) }
    }

    func learns(_ learned: LearnedTensors) -> Bool {
        [0, 2].contains { index in
            ParameterKind.allCases.contains { learned[.projector(projector, index, $0)] != nil }
        }
    }
}

extension CrayonPrompt {
    /// The backward pass: adds to the gradients of the tables and of the projector, where they learn.
    /// - Parameters:
    ///   - dy: with respect to the crayon prompt, `[patches, hidden]`.
    ///   - grid: what the prompt was made of.
    func backward(_ dy: MatrixView, grid: CrayonGrid, learned: LearnedTensors, workspace: Workspace) {
        let queries = queries(grid, workspace: workspace)
        let tables = [
            (learned[.semanticTable]?.gradient, grid.semantic), (learned[.numberingTable]?.gradient, grid.numbering),
        ]
        guard tables.contains(where: { $0.0 != nil }) else {
            return projector.backward(dy, x: queries.view, learned: learned, workspace: workspace)
        }
        let toQueries = Matrix(rows: queries.rows, columns: queries.columns)
        projector.backward(dy, x: queries.view, into: toQueries.view, learned: learned, workspace: workspace)
        for (gradient, rows) in tables {
            guard let gradient else { continue }
            for (cell, row) in rows.enumerated() {
                Elementwise.add(toQueries.view.rows(cell..<cell + 1), to: gradient.view.rows(row..<row + 1))
            }
        }
    }

    func learns(_ learned: LearnedTensors) -> Bool {
        learned[.semanticTable] != nil || learned[.numberingTable] != nil || projector.learns(learned)
    }
}

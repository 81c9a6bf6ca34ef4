import Architecture
import Bytes
import Layers
import Tensors

/// Linear, exact GELU, linear: from a feature width to the backbone's.
struct ProjectorMLP: Sendable {
    let projector: Projector
    let first: Linear
    let second: Linear

    init(_ projector: Projector, _ loader: WeightLoader) throws(CrayonError) {
        self.projector = projector
        func linear(_ index: Int) throws(CrayonError) -> Linear {
            try loader.linear(
                .projector(projector, index, .weight), bias: .projector(projector, index, .bias),
                seesManyRows: loader.learned == nil)
        }
        first = try linear(0)
        second = try linear(2)
    }

    /// `[rows, features]` -> `[rows, hidden]`
    func forward(_ x: MatrixView, workspace: Workspace) -> Matrix {
        let inner = workspace.view(.gate, rows: x.rows, columns: first.outputs)
        first.forward(x, into: inner, workspace: workspace)
        Elementwise.gelu(inner)
        let projected = Matrix(rows: x.rows, columns: second.outputs)
        second.forward(inner, into: projected.view, workspace: workspace)
        return projected
    }
}

/// The crayon queries: a semantic and a numbering row are added for every patch, then projected.
struct CrayonPrompt: Sendable {
    let configuration: CrayonConfiguration
    /// `[semanticRows, width]`
    let semantic: WeightTable
    /// `[numberingRows, width]`
    let numbering: WeightTable
    let projector: ProjectorMLP

    init(_ configuration: CrayonConfiguration, _ loader: WeightLoader) throws(CrayonError) {
        self.configuration = configuration
        semantic = try loader.table(.semanticTable)
        numbering = try loader.table(.numberingTable)
        projector = try ProjectorMLP(.crayon, loader)
    }

    /// - Parameter grid: validated rows of both tables.
    /// - Returns: `[patches, hidden]`
    func forward(_ grid: CrayonGrid, workspace: Workspace) -> Matrix {
        projector.forward(queries(grid, workspace: workspace).view, workspace: workspace)
    }

    /// What the projector reads. `[patches, width]`
    func queries(_ grid: CrayonGrid, workspace: Workspace) -> Matrix {
        let queries = Matrix(rows: grid.semantic.count, columns: configuration.width)
        let numbers = workspace.view(.products, rows: 1, columns: configuration.width)
        semantic.bring(grid.semantic)
        numbering.bring(grid.numbering)
        for cell in grid.semantic.indices {
            let (row, number) = (grid.semantic[cell], grid.numbering[cell])
            semantic.row(row, into: queries.view.row(cell))
            numbering.row(number, into: numbers.pointer)
            Elementwise.add(numbers, to: queries.view.rows(cell..<cell + 1))
        }
        return queries
    }
}

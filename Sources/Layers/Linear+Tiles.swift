import Kernels
import Quantization

extension Linear {
    /// Outputs and inputs of the part of the weight that is in strips at a time: 256 KiB of float32, half of a small
    /// second-level cache. Wide, for every tile has all of `x` read again.
    private static let tileOutputs = 256
    private static let tileDepth = 256

    /// `y = scale x W^T`, or that added to `y`.
    func multiplyTiles(_ x: MatrixView, scale: Float, adds: Bool, into y: MatrixView, workspace: Workspace) {
        TiledProduct(x, outputs: outputs, width: Linear.tileOutputs).run { rows, part in
            multiplyTile(rows, x.rows(part), scale: scale, adds: adds, into: y.rows(part), workspace: workspace)
        }
    }

    private func multiplyTile(
        _ rows: Range<Int>, _ x: MatrixView, scale: Float, adds: Bool, into y: MatrixView, workspace: Workspace
    ) {
        let depth = min(inputs, Linear.tileDepth)
        let room = StripProduct.elements(outputs: rows.count, depth: depth)
        workspace.withScratch(room + StripProduct.width * depth) { strips in
            for start in stride(from: 0, to: inputs, by: depth) {
                let columns = start..<min(start + depth, inputs)
                weight.stripsOfOutputs(rows: rows, columns: columns, into: strips, scratch: strips + room)
                StripProduct.multiply(
                    x.pointer + start, stride: x.stride, rows: x.rows, strips: strips, outputs: rows.count,
                    depth: columns.count, alpha: scale, adds: adds || start > 0, into: y.pointer + rows.lowerBound,
                    yStride: y.stride)
            }
        }
    }

    /// The gradient with respect to `x` of `y = x W^T + bias`: `dx = scale dy W`, or added to `dx` where `adds`.
    ///
    /// Tiles of the weight are widened on the fly and forgotten, as in the forward pass; their sizes depend on the shapes
    /// alone.
    /// - Parameters:
    ///   - dy: `[rows, out]`
    ///   - dx: `[rows, in]`; must not overlap `dy`.
    public func inputGradient(
        _ dy: MatrixView, scale: Float = 1, adds: Bool = false, into dx: MatrixView, workspace: Workspace
    ) {
        precondition(dy.columns == outputs && dx.columns == inputs && dy.rows == dx.rows)
        TiledProduct(dy, outputs: inputs, width: Linear.tileOutputs).run { columns, part in
            inputGradientTile(
                columns, dy.rows(part), scale: scale, adds: adds, into: dx.rows(part), workspace: workspace)
        }
    }

    private func inputGradientTile(
        _ columns: Range<Int>, _ dy: MatrixView, scale: Float, adds: Bool, into dx: MatrixView, workspace: Workspace
    ) {
        let depth = min(outputs, Linear.tileDepth)
        let room = StripProduct.elements(outputs: columns.count, depth: depth)
        workspace.withScratch(room + depth * columns.count) { strips in
            for start in stride(from: 0, to: outputs, by: depth) {
                let rows = start..<min(start + depth, outputs)
                weight.stripsOfInputs(rows: rows, columns: columns, into: strips, scratch: strips + room)
                StripProduct.multiply(
                    dy.pointer + start, stride: dy.stride, rows: dy.rows, strips: strips, outputs: columns.count,
                    depth: rows.count, alpha: scale, adds: adds || start > 0, into: dx.pointer + columns.lowerBound,
                    yStride: dx.stride)
            }
        }
    }
}

/// A product split into tasks: tiles of its outputs, and where these are few also parts of its rows, though the weight is then
/// brought into strips once for each part.
struct TiledProduct {
    let outputs: Int
    let width: Int
    let rows: Int
    private let tiles: Int
    private let parts: Int

    init(_ x: MatrixView, outputs: Int, width: Int) {
        self.outputs = outputs
        self.width = width
        rows = x.rows
        tiles = (outputs + width - 1) / width
        parts = max(1, min((8 + tiles - 1) / max(tiles, 1), rows / 128))
    }

    func run(_ body: (_ outputs: Range<Int>, _ rows: Range<Int>) -> Void) {
        Parallel.forEach(count: tiles * parts) { task in
            let (tile, part) = task.quotientAndRemainder(dividingBy: parts)
            body(
                tile * width..<min((tile + 1) * width, outputs), rows * part / parts..<rows * (part + 1) / parts)
        }
    }
}

import Kernels
import Quantization

extension Linear {
    /// Outputs and inputs of the part of the weight that is in strips at a time: 256 KiB of float32, half of a small
    /// second-level cache. Wide, for every tile has all of `x` read again.
    static let tileOutputs = 256
    private static let tileDepth = 256

    /// `y = scale x W^T`, or that added to `y`.
    func multiplyTiles(_ x: MatrixView, scale: Float, adds: Bool, into y: MatrixView, workspace: Workspace) {
        multiply(x, scale: scale, adds: adds, into: y, workspace: workspace) { rows, columns, strips, scratch in
            weight.stripsOfOutputs(rows: rows, columns: columns, into: strips, scratch: scratch)
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
        arrival?.wait()
        reads.add(TiledProduct(rows: dy.rows, outputs: inputs, width: Linear.tileOutputs).parts)
        multiply(dy, scale: scale, adds: adds, into: dx, workspace: workspace) { columns, rows, strips, scratch in
            weight.stripsOfInputs(rows: rows, columns: columns, into: strips, scratch: scratch)
        }
    }

    /// Rows times the weight, or its transpose, a tile at a time.
    /// - Parameter bring: brings a part into strips: which columns of `y` it makes, and from which of `x`.
    private func multiply(
        _ x: MatrixView, scale: Float, adds: Bool, into y: MatrixView, workspace: Workspace,
        bring: (Range<Int>, Range<Int>, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>) -> Void
    ) {
        let depth = min(x.columns, Linear.tileDepth)
        TiledProduct(rows: x.rows, outputs: y.columns, width: Linear.tileOutputs).run { tile, part in
            let room = StripProduct.elements(outputs: tile.count, depth: depth)
            let (x, y) = (x.rows(part), y.rows(part))
            workspace.withScratch(room + tile.count * depth) { strips in
                for start in stride(from: 0, to: x.columns, by: depth) {
                    let run = start..<min(start + depth, x.columns)
                    bring(tile, run, strips, strips + room)
                    StripProduct.multiply(
                        x.pointer + start, stride: x.stride, rows: x.rows, strips: strips, outputs: tile.count,
                        depth: run.count, alpha: scale, adds: adds || start > 0, into: y.pointer + tile.lowerBound,
                        yStride: y.stride)
                }
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
    /// How often the whole weight is brought into strips.
    let parts: Int

    init(rows: Int, outputs: Int, width: Int) {
        self.outputs = outputs
        self.width = width
        self.rows = rows
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

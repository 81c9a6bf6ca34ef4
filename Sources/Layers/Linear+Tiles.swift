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

    /// Brings a part of the weight, or of its transpose, into strips: which columns of `y` it makes, from which of `x`, where the
    /// strips go, and scratch for as many elements.
    private typealias BringStrips = (
        Range<Int>, Range<Int>, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>
    ) -> Void

    /// Rows times the weight, or its transpose, a tile at a time.
    private func multiply(
        _ x: MatrixView, scale: Float, adds: Bool, into y: MatrixView, workspace: Workspace, bring: BringStrips
    ) {
        if arithmetic == .int16 {
            return multiplyNarrowed(x, scale: scale, adds: adds, into: y, workspace: workspace, bring: bring)
        }
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

    /// The same in integers. Strips become int16 on the way, 64 inputs at a time, so that neither they nor the weight's widened
    /// values leave the second-level cache.
    private func multiplyNarrowed(
        _ x: MatrixView, scale: Float, adds: Bool, into y: MatrixView, workspace: Workspace, bring: BringStrips
    ) {
        guard x.rows > 0 else { return }
        let block = Int16Product.blockSize
        NarrowedRows.with(x, largest: Int16Product.largestOfDense, for: .strips, workspace: workspace) { narrowed in
            TiledProduct(rows: x.rows, outputs: y.columns, width: Linear.tileOutputs).run { tile, part in
                let (x, y) = (narrowed.rows(part), y.rows(part))
                let depth = min(Int16Product.blocks(columns: x.columns) * block, Int16Product.largestDepth)
                let floats = StripProduct.elements(outputs: tile.count, depth: block)
                let room = StripProduct.elements(outputs: tile.count, depth: depth)
                workspace.withScratch(2 * floats + room / 2 + room / block) { scratch in
                    let scales = scratch + 2 * floats
                    let pairs = scales + room / block
                    pairs.withMemoryRebound(to: Int16.self, capacity: room) { strips in
                        for start in stride(from: 0, to: x.columns, by: depth) {
                            let run = start..<min(start + depth, x.columns)
                            let blocks = Int16Product.blocks(columns: run.count)
                            for index in 0..<blocks {
                                let first = start + index * block
                                let inputs = first..<min(first + block, run.upperBound)
                                bring(tile, inputs, scratch, scratch + floats)
                                Int16Product.strips(
                                    ofStrips: scratch, outputs: tile.count, depth: inputs.count,
                                    into: strips + index * block * StripProduct.width,
                                    stride: blocks * block * StripProduct.width,
                                    scales: scales + index * StripProduct.width)
                            }
                            x.multiply(
                                first: start, depth: blocks * block, strips: strips, stripScales: scales,
                                outputs: tile.count, alpha: scale, adds: adds || start > 0,
                                into: y.pointer + tile.lowerBound, yStride: y.stride)
                        }
                    }
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

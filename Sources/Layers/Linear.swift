import Kernels
public import Quantization
public import Tensors

/// `y = x W^T + bias` over a weight that stays as it is stored: 4-bit, 8-bit or 16-bit.
///
/// Few rows of `x` (decoding) multiply the stored weight directly. For many, tiles of the weight are widened to
/// float32 in scratch, each used once by a matrix product and forgotten. The work is split into tiles whose size
/// depends on the weight's shape alone, so that the result does not depend on the number of cores.
public struct Linear: Sendable {
    /// As many rows as outputs; further axes (a convolution's) count as columns.
    public let weight: StoredWeight
    /// `[1, out]`
    public let bias: Matrix?
    public let outputs: Int
    public let inputs: Int

    /// - Parameter outputs: how many of the weight's rows to use, from the first; nil for all.
    /// - Precondition: `bias` has one value for each of them.
    public init(weight: StoredWeight, bias: Matrix? = nil, outputs: Int? = nil) {
        let outputs = outputs ?? weight.rows
        precondition(weight.shape.rank >= 2 && outputs <= weight.rows)
        precondition(bias.map { $0.rows == 1 && $0.columns == outputs } ?? true)
        self.weight = weight
        self.bias = bias
        self.outputs = outputs
        inputs = weight.columns
    }

    /// Up to this many rows of `x`, the stored weight is read once for each instead of being widened.
    public static let directRows = 4

    /// The part of the weight that is widened at a time: 4 MiB of float32, enough for a matrix product to run at its best.
    private static let tileRows = 256
    private static let tileColumns = 4096

    /// - Parameters:
    ///   - x: `[rows, in]`
    ///   - y: `[rows, out]`, overwritten; must not overlap `x`.
    public func forward(_ x: MatrixView, into y: MatrixView, workspace: Workspace) {
        precondition(x.columns == inputs && y.columns == outputs && x.rows == y.rows)
        if x.rows <= Linear.directRows {
            multiplyRows(x) { rows, index, product in
                (y.row(index) + rows.lowerBound).update(from: product, count: rows.count)
                addBias(to: y.row(index), outputs: rows)
            }
        } else {
            multiplyTiles(x, scale: 1, keep: 0, into: y, workspace: workspace)
        }
    }

    /// Adds `scale * x W^T` to `y`.
    /// - Precondition: there is no bias.
    public func accumulate(_ x: MatrixView, scale: Float, into y: MatrixView, workspace: Workspace) {
        precondition(x.columns == inputs && y.columns == outputs && x.rows == y.rows && bias == nil)
        if x.rows <= Linear.directRows {
            multiplyRows(x) { rows, index, product in
                VectorMath.axpy(scale, product, into: y.row(index) + rows.lowerBound, count: rows.count)
            }
        } else {
            multiplyTiles(x, scale: scale, keep: 1, into: y, workspace: workspace)
        }
    }

    /// Products of the stored weight with one row of `x` at a time, in runs of outputs that are handed to `store`.
    private func multiplyRows(
        _ x: MatrixView, store: (_ outputs: Range<Int>, _ row: Int, _ product: UnsafePointer<Float>) -> Void
    ) {
        Parallel.forEachRange(of: outputs, size: Linear.runRows) { rows in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: rows.count) { product in
                guard let product = product.baseAddress else { return }
                for index in 0..<x.rows {
                    weight.multiply(rows: rows, x: x.row(index), into: product)
                    store(rows, index, product)
                }
            }
        }
    }

    /// Outputs that a core computes before it asks for more work.
    private static let runRows = 128

    private func multiplyTiles(
        _ x: MatrixView, scale: Float, keep: Float, into y: MatrixView, workspace: Workspace
    ) {
        let tiles = (outputs + Linear.tileRows - 1) / Linear.tileRows
        // A weight of few tiles has the rows of x split too, though it is widened once for each part.
        let parts = max(1, min((8 + tiles - 1) / tiles, x.rows / 128))
        Parallel.forEach(count: tiles * parts) { task in
            let first = task / parts * Linear.tileRows
            let rows = first..<min(first + Linear.tileRows, outputs)
            let part = x.rows * (task % parts) / parts..<x.rows * (task % parts + 1) / parts
            multiplyTile(rows, x.rows(part), scale: scale, keep: keep, into: y.rows(part), workspace: workspace)
        }
    }

    private func multiplyTile(
        _ rows: Range<Int>, _ x: MatrixView, scale: Float, keep: Float, into y: MatrixView, workspace: Workspace
    ) {
        let depth = min(inputs, Linear.tileColumns)
        workspace.withScratch(rows.count * depth) { tile in
            for start in stride(from: 0, to: inputs, by: depth) {
                let columns = start..<min(start + depth, inputs)
                if columns.count == inputs {
                    weight.dequantizeRows(rows, into: tile)
                } else {
                    for (index, row) in rows.enumerated() {
                        let elements = row * inputs + columns.lowerBound..<row * inputs + columns.upperBound
                        weight.dequantize(elements: elements, into: tile + index * columns.count)
                    }
                }
                BLAS.gemm(
                    transposeB: true, m: x.rows, n: rows.count, k: columns.count, alpha: scale,
                    a: x.pointer + columns.lowerBound, lda: x.stride, b: tile, ldb: columns.count,
                    beta: start == 0 ? keep : 1, c: y.pointer + rows.lowerBound, ldc: y.stride)
            }
        }
        if keep == 0 { for index in 0..<y.rows { addBias(to: y.row(index), outputs: rows) } }
    }

    private func addBias(to row: UnsafeMutablePointer<Float>, outputs: Range<Int>) {
        guard let bias else { return }
        VectorMath.add(bias.pointer + outputs.lowerBound, into: row + outputs.lowerBound, count: outputs.count)
    }
}

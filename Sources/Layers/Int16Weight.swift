import Kernels
import Quantization
import Tensors

/// A 4-bit weight whose products are computed in integers: see `Int16Product`.
struct Int16Weight: Sendable {
    private let tensor: NF4Tensor
    private let levels: Int16Levels
    private let inputs: Int

    /// - Returns: nil for a weight of another kind, or one whose rows are not whole blocks.
    init?(_ weight: StoredWeight) {
        guard case .nf4(let tensor) = weight, let levels = tensor.int16Levels else { return nil }
        self.tensor = tensor
        self.levels = levels
        inputs = tensor.shape.columns
    }

    /// Outputs and inputs of the part of the weight that is in strips at a time: 256 KiB of int16.
    static let tileOutputs = 128
    private static let tileDepth = Int16Product.largestDepth
    /// Rows that a core narrows before it asks for more work.
    private static let narrowedRows = 8

    /// `y = x W^T`
    func multiply(_ x: MatrixView, outputs: Int, into y: MatrixView, workspace: Workspace) {
        guard x.rows > 0 else { return }
        let isDirect = x.rows <= Linear.directRows
        let (stride, blocks) = (Int16Product.stride(columns: inputs), inputs / Int16Product.blockSize)
        // Two int16 in the place of one float.
        let narrow = workspace.view(.narrowed, rows: x.rows, columns: stride / 2)
        let scales = workspace.view(.narrowedScales, rows: x.rows, columns: blocks)
        narrow.pointer.withMemoryRebound(to: Int16.self, capacity: x.rows * stride) { q in
            Parallel.forEachRange(of: x.rows, size: Int16Weight.narrowedRows) { rows in
                Int16Product.narrow(
                    x.pointer + rows.lowerBound * x.stride, stride: x.stride, rows: rows.count, columns: inputs,
                    largestLevel: levels.largest, forRows: isDirect, into: q + rows.lowerBound * stride,
                    scales: scales.pointer + rows.lowerBound * blocks)
            }
            if isDirect {
                Parallel.forEach(
                    count: Parallel.rangeCount(of: outputs, size: Linear.runRows),
                    DirectProduct(
                        tensor: tensor, levels: levels, outputs: outputs, q: q, scales: scales.pointer, rows: x.rows,
                        y: y))
            } else {
                TiledProduct(rows: x.rows, outputs: outputs, width: Int16Weight.tileOutputs).run { tile, part in
                    multiplyTile(
                        tile, q + part.lowerBound * stride, scales: scales.rows(part), into: y.rows(part),
                        workspace: workspace)
                }
            }
        }
    }

    /// A few rows of `x`, narrowed, with the weight as it lies.
    private struct DirectProduct: ParallelBody {
        let tensor: NF4Tensor
        let levels: Int16Levels
        let outputs: Int
        let q: UnsafePointer<Int16>
        let scales: UnsafePointer<Float>
        let rows: Int
        let y: MatrixView

        func run(_ index: Int) {
            let run = Parallel.range(index, of: outputs, size: Linear.runRows)
            tensor.multiply(
                rows: run, levels: levels, int16: q, scales: scales, count: rows, into: y.pointer + run.lowerBound,
                yStride: y.stride)
        }
    }

    private func multiplyTile(
        _ rows: Range<Int>, _ q: UnsafePointer<Int16>, scales: MatrixView, into y: MatrixView, workspace: Workspace
    ) {
        let depth = min(inputs, Int16Weight.tileDepth)
        let room = StripProduct.elements(outputs: rows.count, depth: depth)
        workspace.withScratch(room / 2 + room / Int16Product.blockSize) { scratch in
            let stripScales = scratch + room / 2
            scratch.withMemoryRebound(to: Int16.self, capacity: room) { strips in
                for start in Swift.stride(from: 0, to: inputs, by: depth) {
                    let columns = start..<min(start + depth, inputs)
                    tensor.int16Strips(
                        rows: rows, columns: columns, levels: levels, into: strips, scales: stripScales)
                    Int16Product.multiply(
                        q, scales: scales.pointer, columns: inputs, rows: y.rows, first: start, depth: columns.count,
                        strips: strips, stripScales: stripScales, outputs: rows.count, adds: start > 0,
                        into: y.pointer + rows.lowerBound, yStride: y.stride)
                }
            }
        }
    }
}

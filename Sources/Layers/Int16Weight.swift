import Kernels
import Quantization
import Tensors

/// A weight whose products are computed in integers: see `Int16Product`.
struct Int16Weight: Sendable {
    /// A quantized one stays as it is stored.
    private enum Form: Sendable {
        case nf4(NF4Tensor)
        case dynamic8(Int8Tensor)
    }

    private let form: Form
    private let levels: Int16Levels
    private let inputs: Int

    /// - Returns: nil for a weight that is not quantized, or whose rows are not whole blocks.
    init?(_ weight: StoredWeight) {
        switch weight {
        case .nf4(let tensor):
            guard let levels = tensor.int16Levels else { return nil }
            (form, self.levels) = (.nf4(tensor), levels)
        case .int8(let tensor):
            guard let levels = tensor.int16Levels else { return nil }
            (form, self.levels) = (.dynamic8(tensor), levels)
        case .dense: return nil
        }
        inputs = weight.columns
    }

    /// Outputs and inputs of the part of the weight that is in strips at a time: 256 KiB of int16.
    private static let tileOutputs = 128
    private static let tileDepth = Int16Product.largestDepth
    /// Rows that a core narrows before it asks for more work.
    private static let narrowedRows = 8

    /// `y = x W^T`
    func multiply(_ x: MatrixView, outputs: Int, into y: MatrixView, workspace: Workspace) {
        guard x.rows > 0 else { return }
        let isDirect = x.rows <= Linear.directRows
        let (stride, blocks) = (Int16Product.stride(columns: inputs), Int16Product.blocks(columns: inputs))
        // Two int16 in the place of one float.
        let narrow = workspace.view(.narrowed, rows: x.rows, columns: stride / 2)
        let scales = workspace.view(.narrowedScales, rows: x.rows, columns: blocks)
        narrow.pointer.withMemoryRebound(to: Int16.self, capacity: x.rows * stride) { q in
            Parallel.forEachRange(of: x.rows, size: Int16Weight.narrowedRows) { rows in
                Int16Product.narrow(
                    x.pointer + rows.lowerBound * x.stride, stride: x.stride, rows: rows.count, columns: inputs,
                    largestLevel: levels.largest, for: isDirect ? rowUse : .strips, into: q + rows.lowerBound * stride,
                    scales: scales.pointer + rows.lowerBound * blocks)
            }
            if isDirect {
                Parallel.forEachRange(of: outputs, size: Linear.runRows) { rows in
                    multiplyRows(rows, q, scales: scales, into: y)
                }
            } else {
                TiledProduct(x, outputs: outputs, width: Int16Weight.tileOutputs).run { tile, part in
                    multiplyTile(
                        tile, q + part.lowerBound * stride, scales: scales.rows(part), into: y.rows(part),
                        workspace: workspace)
                }
            }
        }
    }

    private var rowUse: Int16Product.Use {
        switch form {
        case .nf4: .nf4Rows
        case .dynamic8: .dynamic8Rows
        }
    }

    private func multiplyRows(_ rows: Range<Int>, _ q: UnsafePointer<Int16>, scales: MatrixView, into y: MatrixView) {
        let target = y.pointer + rows.lowerBound
        switch form {
        case .nf4(let tensor):
            tensor.multiply(
                rows: rows, levels: levels, int16: q, scales: scales.pointer, count: y.rows, into: target,
                yStride: y.stride)
        case .dynamic8(let tensor):
            tensor.multiply(
                rows: rows, levels: levels, int16: q, scales: scales.pointer, count: y.rows, into: target,
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
                    switch form {
                    case .nf4(let tensor):
                        tensor.int16Strips(
                            rows: rows, columns: columns, levels: levels, into: strips, scales: stripScales)
                    case .dynamic8(let tensor):
                        tensor.int16Strips(
                            rows: rows, columns: columns, levels: levels, into: strips, scales: stripScales)
                    }
                    Int16Product.multiply(
                        q, scales: scales.pointer, columns: inputs, rows: y.rows, first: start, depth: columns.count,
                        strips: strips, stripScales: stripScales, outputs: rows.count, adds: start > 0,
                        into: y.pointer + rows.lowerBound, yStride: y.stride)
                }
            }
        }
    }
}

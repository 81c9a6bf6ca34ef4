import Kernels
import Quantization
import Tensors

/// A weight whose products are computed in integers: see `Int16Product`.
struct Int16Weight: Sendable {
    private enum Form: Sendable {
        /// As it is stored.
        case coded(any Int16Coded, Int16Levels)
        case converted(Int16Conversion)
    }

    private let form: Form
    private let inputs: Int

    /// - Returns: nil for a weight that is not quantized, or whose rows are not whole blocks.
    init?(_ weight: StoredWeight) {
        let coded: any Int16Coded
        switch weight {
        case .nf4(let tensor): coded = tensor
        case .int8(let tensor): coded = tensor
        case .dense: return nil
        }
        guard let levels = coded.int16Levels else { return nil }
        form = .coded(coded, levels)
        inputs = weight.columns
    }

    /// A copy of a weight of any kind, made when it is there and first used.
    init(converting weight: StoredWeight, arrival: WeightArrival?) {
        form = .converted(Int16Conversion(weight, arrival: arrival))
        inputs = weight.columns
    }

    /// `y = scale x W^T`, or that added to `y`.
    func multiply(
        _ x: MatrixView, outputs: Int, scale: Float = 1, adds: Bool = false, into y: MatrixView, workspace: Workspace
    ) {
        guard x.rows > 0 else { return }
        let use = x.rows <= Linear.directRows ? rowUse : .strips
        NarrowedRows.with(x, largest: largest, for: use, workspace: workspace) { narrowed in
            if use == .strips {
                TiledProduct(rows: x.rows, outputs: outputs, width: Int16Strips.tileOutputs).run { tile, part in
                    multiplyTile(
                        tile, narrowed.rows(part), alpha: scale, adds: adds, into: y.rows(part), workspace: workspace)
                }
            } else {
                Parallel.forEach(
                    count: Parallel.rangeCount(of: outputs, size: Linear.runRows),
                    DirectProduct(weight: self, outputs: outputs, narrowed: narrowed, alpha: scale, adds: adds, y: y))
            }
        }
    }

    /// A few rows of `x`, narrowed, with the weight as it lies.
    private struct DirectProduct: ParallelBody {
        let weight: Int16Weight
        let outputs: Int
        let narrowed: NarrowedRows
        let alpha: Float
        let adds: Bool
        let y: MatrixView

        func run(_ index: Int) {
            weight.multiplyRows(
                Parallel.range(index, of: outputs, size: Linear.runRows), narrowed, alpha: alpha, adds: adds, into: y)
        }
    }

    /// What bounds the other factor.
    private var largest: Int32 {
        switch form {
        case .coded(_, let levels): levels.largest
        case .converted: Int16Product.largestOfDense
        }
    }

    /// Whether a few rows read the weight as it lies.
    var hasRowProducts: Bool { rowUse != .strips }

    /// Converts what is still to be converted.
    func prepare() {
        if case .converted(let conversion) = form { _ = conversion.strips }
    }

    private var rowUse: Int16Product.Use {
        switch form {
        case .coded(let weight, _): type(of: weight).int16RowUse
        case .converted: .strips
        }
    }

    fileprivate func multiplyRows(
        _ rows: Range<Int>, _ x: NarrowedRows, alpha: Float, adds: Bool, into y: MatrixView
    ) {
        guard adds || alpha != 1 else {
            return multiplyRows(rows, x, into: y.pointer + rows.lowerBound, y.stride)
        }
        withUnsafeTemporaryAllocation(of: Float.self, capacity: y.rows * rows.count) { products in
            guard let products = products.baseAddress else { return }
            multiplyRows(rows, x, into: products, rows.count)
            for index in 0..<y.rows {
                let target = y.row(index) + rows.lowerBound
                if !adds { target.update(repeating: 0, count: rows.count) }
                VectorMath.axpy(alpha, products + index * rows.count, into: target, count: rows.count)
            }
        }
    }

    private func multiplyRows(
        _ rows: Range<Int>, _ x: NarrowedRows, into y: UnsafeMutablePointer<Float>, _ yStride: Int
    ) {
        switch form {
        case .coded(let weight, let levels):
            weight.multiply(
                rows: rows, levels: levels, int16: x.q, scales: x.scales.pointer, count: x.scales.rows, into: y,
                yStride: yStride)
        case .converted: preconditionFailure("what lies in strips has no row products")
        }
    }

    private func multiplyTile(
        _ rows: Range<Int>, _ x: NarrowedRows, alpha: Float, adds: Bool, into y: MatrixView, workspace: Workspace
    ) {
        for start in Swift.stride(from: 0, to: inputs, by: Int16Strips.tileDepth) {
            let columns = start..<min(start + Int16Strips.tileDepth, inputs)
            let depth = Int16Product.blocks(columns: columns.count) * Int16Product.blockSize
            withStrips(rows, columns, depth: depth, workspace: workspace) { strips, stripScales in
                x.multiply(
                    first: start, depth: depth, strips: strips, stripScales: stripScales, outputs: rows.count,
                    alpha: alpha, adds: adds || start > 0, into: y.pointer + rows.lowerBound, yStride: y.stride)
            }
        }
    }

    /// The strips of a tile of outputs and a part of the inputs: brought into scratch, or where they lie.
    private func withStrips(
        _ rows: Range<Int>, _ columns: Range<Int>, depth: Int, workspace: Workspace,
        _ body: (UnsafePointer<Int16>, UnsafePointer<Float>) -> Void
    ) {
        switch form {
        case .converted(let conversion):
            conversion.strips.withTile(output: rows.lowerBound, input: columns.lowerBound, body)
        case .coded(let weight, let levels):
            let room = StripProduct.elements(outputs: rows.count, depth: depth)
            workspace.withScratch(room / 2 + room / Int16Product.blockSize) { scratch in
                let scales = scratch + room / 2
                scratch.withMemoryRebound(to: Int16.self, capacity: room) { strips in
                    weight.int16Strips(rows: rows, columns: columns, levels: levels, into: strips, scales: scales)
                    body(strips, scales)
                }
            }
        }
    }
}

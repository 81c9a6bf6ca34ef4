import Kernels
public import Quantization
public import Tensors

/// `y = x W^T + bias` over a weight that stays as it is stored: 4-bit, 8-bit or 16-bit, or is converted once for products in
/// integers.
///
/// Few rows of `x` (decoding) multiply the stored weight directly. For many, tiles of the weight are brought into strips in
/// scratch, each used once by every row and forgotten. The work is split into tiles whose size depends on shapes alone, so
/// that the result does not depend on the number of cores.
public struct Linear: Sendable {
    /// As many rows as outputs; further axes (a convolution's) count as columns. Nil where it was converted.
    private let stored: StoredWeight?
    /// `[1, out]`
    public let bias: Matrix?
    public let outputs: Int
    public let inputs: Int
    /// What products of many rows are computed in; those of few also where `int16` is there.
    let arithmetic: Arithmetic
    /// The weight where its integers are at hand: its codes', or those that it was converted to.
    private let int16: Int16Weight?
    /// Nil for a weight that is there, and for one that is converted, which waits for it itself.
    let arrival: WeightArrival?
    /// Counts passes over the weight, all copies of this layer together.
    public let reads = WeightReads()

    /// - Parameters:
    ///   - outputs: how many of the weight's rows to use, from the first; nil for all.
    ///   - arithmetic: what the products are computed in. A few rows meet a weight that has no integers of its own in float32.
    ///   - convertsDense: whether a dense weight is converted for products in integers once, when it is first used, and not kept:
    ///     for layers that see many rows again and again. There is no gradient through such a layer.
    ///   - arrival: of a weight that is still on its way; products wait for it.
    /// - Precondition: `bias` has one value for each output.
    public init(
        weight: StoredWeight, bias: Matrix? = nil, outputs: Int? = nil, arithmetic: Arithmetic = .float32,
        convertsDense: Bool = false, arrival: WeightArrival? = nil
    ) {
        let outputs = outputs ?? weight.rows
        precondition(weight.shape.rank >= 2 && outputs <= weight.rows)
        precondition(bias.map { $0.rows == 1 && $0.columns == outputs } ?? true)
        self.bias = bias
        self.outputs = outputs
        self.arithmetic = arithmetic
        inputs = weight.columns
        if case .dense = weight, arithmetic == .int16, convertsDense {
            (stored, int16) = (nil, Int16Weight(converting: weight, arrival: arrival))
            self.arrival = nil
        } else {
            (stored, int16) = (weight, arithmetic == .int16 ? Int16Weight(weight) : nil)
            self.arrival = arrival
        }
    }

    /// - Precondition: it is not converted.
    var weight: StoredWeight {
        guard let stored else { preconditionFailure("the weight is converted to int16 and not kept") }
        return stored
    }

    /// Up to this many rows of `x`, the stored weight is multiplied as it lies instead of being brought into strips, and each row
    /// has the bits that it would have alone.
    public static let directRows = 4

    /// - Parameters:
    ///   - x: `[rows, in]`
    ///   - y: `[rows, out]`, overwritten; must not overlap `x`.
    public func forward(_ x: MatrixView, into y: MatrixView, workspace: Workspace) {
        precondition(x.columns == inputs && y.columns == outputs && x.rows == y.rows)
        begin(rows: x.rows)
        if let int16 {
            int16.multiply(x, outputs: outputs, into: y, workspace: workspace)
        } else if x.rows <= Linear.directRows {
            multiplyRows(x, scale: nil, into: y)
        } else {
            multiplyTiles(x, scale: 1, adds: false, into: y, workspace: workspace)
        }
        addBias(to: y)
    }

    /// Adds `scale * x W^T` to `y`.
    /// - Precondition: there is no bias.
    public func accumulate(_ x: MatrixView, scale: Float, into y: MatrixView, workspace: Workspace) {
        precondition(x.columns == inputs && y.columns == outputs && x.rows == y.rows && bias == nil)
        begin(rows: x.rows)
        if let int16 {
            int16.multiply(x, outputs: outputs, scale: scale, adds: true, into: y, workspace: workspace)
        } else if x.rows <= Linear.directRows {
            multiplyRows(x, scale: scale, into: y)
        } else {
            multiplyTiles(x, scale: scale, adds: true, into: y, workspace: workspace)
        }
    }

    /// Waits for the weight, and counts the product's passes over it.
    private func begin(rows: Int) {
        arrival?.wait()
        int16?.prepare()
        guard rows > 0 else { return }
        let isDirect = rows <= Linear.directRows && int16?.hasRowProducts != false
        let width = int16 == nil ? Linear.tileOutputs : Int16Strips.tileOutputs
        reads.add(isDirect ? 1 : TiledProduct(rows: rows, outputs: outputs, width: width).parts)
    }

    /// Products of the stored weight with one row of `x` at a time, in runs of outputs.
    /// - Parameter scale: of what is added to `y`; nil to overwrite it.
    private func multiplyRows(_ x: MatrixView, scale: Float?, into y: MatrixView) {
        Parallel.forEach(
            count: Parallel.rangeCount(of: outputs, size: Linear.runRows),
            DirectProduct(weight: weight, outputs: outputs, x: x, y: y, scale: scale))
    }

    /// Outputs that a core computes before it asks for more work.
    static let runRows = 128

    private struct DirectProduct: ParallelBody {
        let weight: StoredWeight
        let outputs: Int
        let x: MatrixView
        let y: MatrixView
        let scale: Float?

        func run(_ index: Int) {
            let rows = Parallel.range(index, of: outputs, size: Linear.runRows)
            guard let scale else {
                for row in 0..<x.rows { weight.multiply(rows: rows, x: x.row(row), into: y.row(row) + rows.lowerBound) }
                return
            }
            withUnsafeTemporaryAllocation(of: Float.self, capacity: Linear.runRows) { product in
                guard let product = product.baseAddress else { return }
                for row in 0..<x.rows {
                    weight.multiply(rows: rows, x: x.row(row), into: product)
                    VectorMath.axpy(scale, product, into: y.row(row) + rows.lowerBound, count: rows.count)
                }
            }
        }
    }

    private func addBias(to y: MatrixView) {
        guard let bias else { return }
        for index in 0..<y.rows { VectorMath.add(bias.pointer, into: y.row(index), count: outputs) }
    }
}

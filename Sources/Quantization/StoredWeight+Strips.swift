import Bytes
import Kernels
import Tensors

/// Parts of a weight in the form in which many rows are multiplied with it.
extension StoredWeight {
    /// Strips of 16 outputs: see `StripProduct.stripsOfOutputs`.
    /// - Parameter scratch: room for `[rows, columns]`.
    /// - Precondition: the ranges lie inside the weight; at most `StripProduct.largestDepth` columns.
    public func stripsOfOutputs(
        rows: Range<Int>, columns: Range<Int>, into strips: UnsafeMutablePointer<Float>,
        scratch: UnsafeMutablePointer<Float>
    ) {
        precondition(rows.lowerBound >= 0 && rows.upperBound <= self.rows)
        precondition(columns.lowerBound >= 0 && columns.upperBound <= self.columns)
        if case .nf4(let tensor) = self {
            return tensor.withView {
                $0.stripsOfOutputs(width: self.columns, rows: rows, columns: columns, into: strips)
            }
        }
        withFloats(rows, columns, scratch) { floats, stride in
            StripProduct.stripsOfOutputs(
                floats, stride: stride, outputs: rows.count, depth: columns.count, into: strips)
        }
    }

    /// Strips of 16 inputs, for gradients: see `StripProduct.stripsOfInputs`.
    /// - Parameter scratch: room for `[rows, columns]`.
    /// - Precondition: the ranges lie inside the weight; at most `StripProduct.largestOutputs` columns.
    public func stripsOfInputs(
        rows: Range<Int>, columns: Range<Int>, into strips: UnsafeMutablePointer<Float>,
        scratch: UnsafeMutablePointer<Float>
    ) {
        precondition(rows.lowerBound >= 0 && rows.upperBound <= self.rows)
        precondition(columns.lowerBound >= 0 && columns.upperBound <= self.columns)
        if case .nf4(let tensor) = self {
            return tensor.withView {
                $0.stripsOfInputs(width: self.columns, rows: rows, columns: columns, into: strips)
            }
        }
        withFloats(rows, columns, scratch) { floats, stride in
            StripProduct.stripsOfInputs(
                floats, stride: stride, outputs: columns.count, depth: rows.count, into: strips)
        }
    }

    /// Calls `body` with the part as float32 and the elements from one row of it to the next: where it lies, or widened.
    private func withFloats(
        _ rows: Range<Int>, _ columns: Range<Int>, _ scratch: UnsafeMutablePointer<Float>,
        _ body: (UnsafePointer<Float>, Int) -> Void
    ) {
        let width = self.columns
        if case .dense(let tensor) = self, tensor.type == .f32,
            Int(bitPattern: tensor.region.baseAddress) % MemoryLayout<Float>.alignment == 0
        {
            let floats = tensor.region.baseAddress.assumingMemoryBound(to: Float.self)
            return withExtendedLifetime(tensor) { body(floats + rows.lowerBound * width + columns.lowerBound, width) }
        }
        for (index, row) in rows.enumerated() {
            dequantize(
                elements: row * width + columns.lowerBound..<row * width + columns.upperBound,
                into: scratch + index * columns.count)
        }
        body(scratch, columns.count)
    }
}

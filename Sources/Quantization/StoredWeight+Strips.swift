import Bytes
import Kernels
import Tensors

/// Parts of a weight in the form in which many rows are multiplied with it.
extension StoredWeight {
    /// Strips of 16 outputs: see `StripProduct.stripsOfOutputs`.
    /// - Parameter scratch: room for `[16, columns]`.
    /// - Precondition: the ranges lie inside the weight; at most `StripProduct.largestDepth` columns.
    public func stripsOfOutputs(
        rows: Range<Int>, columns: Range<Int>, into strips: UnsafeMutablePointer<Float>,
        scratch: UnsafeMutablePointer<Float>
    ) {
        check(rows, columns)
        let width = self.columns
        if case .nf4(let tensor) = self {
            return tensor.withView { $0.stripsOfOutputs(width: width, rows: rows, columns: columns, into: strips) }
        }
        let isDone = withFloats { floats in
            StripProduct.stripsOfOutputs(
                floats + rows.lowerBound * width + columns.lowerBound, stride: width, outputs: rows.count,
                depth: columns.count, into: strips)
        }
        if isDone { return }
        for first in stride(from: rows.lowerBound, to: rows.upperBound, by: StripProduct.width) {
            let run = first..<min(first + StripProduct.width, rows.upperBound)
            widen(run, columns, into: scratch)
            StripProduct.stripsOfOutputs(
                scratch, stride: columns.count, outputs: run.count, depth: columns.count,
                into: strips + (first - rows.lowerBound) * columns.count)
        }
    }

    /// Strips of 16 inputs, for gradients: see `StripProduct.stripsOfInputs`.
    /// - Parameter scratch: room for `[rows, columns]`.
    /// - Precondition: the ranges lie inside the weight; at most `StripProduct.largestOutputs` columns.
    public func stripsOfInputs(
        rows: Range<Int>, columns: Range<Int>, into strips: UnsafeMutablePointer<Float>,
        scratch: UnsafeMutablePointer<Float>
    ) {
        check(rows, columns)
        let width = self.columns
        if case .nf4(let tensor) = self {
            return tensor.withView { $0.stripsOfInputs(width: width, rows: rows, columns: columns, into: strips) }
        }
        let isDone = withFloats { floats in
            StripProduct.stripsOfInputs(
                floats + rows.lowerBound * width + columns.lowerBound, stride: width, outputs: columns.count,
                depth: rows.count, into: strips)
        }
        if isDone { return }
        widen(rows, columns, into: scratch)
        StripProduct.stripsOfInputs(
            scratch, stride: columns.count, outputs: columns.count, depth: rows.count, into: strips)
    }

    private func check(_ rows: Range<Int>, _ columns: Range<Int>) {
        precondition(rows.lowerBound >= 0 && rows.upperBound <= self.rows)
        precondition(columns.lowerBound >= 0 && columns.upperBound <= self.columns)
    }

    /// Calls `body` with the elements of a float32 weight that lies aligned.
    /// - Returns: whether it did.
    private func withFloats(_ body: (UnsafePointer<Float>) -> Void) -> Bool {
        guard case .dense(let tensor) = self, tensor.type == .f32,
            Int(bitPattern: tensor.region.baseAddress) % MemoryLayout<Float>.alignment == 0
        else { return false }
        withExtendedLifetime(tensor) { body(tensor.region.baseAddress.assumingMemoryBound(to: Float.self)) }
        return true
    }

    /// `[rows, columns]`
    private func widen(_ rows: Range<Int>, _ columns: Range<Int>, into target: UnsafeMutablePointer<Float>) {
        for (index, row) in rows.enumerated() {
            let start = row * self.columns
            dequantize(
                elements: start + columns.lowerBound..<start + columns.upperBound, into: target + index * columns.count)
        }
    }
}

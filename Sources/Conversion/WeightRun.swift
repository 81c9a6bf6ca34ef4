import Bytes
import Kernels
import Tensors

/// A dense tensor as it is to be written: in another float type, or with its two axes exchanged, a run of elements at a time.
struct WeightRun {
    let tensor: Tensor
    /// The type that comes out; the tensor's own unless both are float types.
    let type: ElementType
    /// Whether the elements come in the order of the columns.
    var isTransposed = false
    /// The file, for errors.
    let place: String

    /// `[out, in]` for a tensor `[in, out]` that is transposed.
    var shape: Shape { isTransposed ? Shape(Array(tensor.shape.dims.reversed())) : tensor.shape }

    /// Elements `range`, of the order that comes out.
    /// - Throws: `CrayonError` for a finite number that the type cannot hold.
    func elements(_ range: Range<Int>) throws(CrayonError) -> Tensor {
        let run = isTransposed ? gathered(range) : tensor.elements(range)
        guard type != tensor.type else { return run }
        let cast = WeightStream.cast(run, elements: 0..<range.count, to: type)
        guard FiniteScan.firstBad(cast.region.baseAddress, type: type, count: range.count) != nil else { return cast }
        var value: Float = 0
        for index in 0..<range.count {
            let size = type.byteCount
            guard FiniteScan.firstBad(cast.region.baseAddress + index * size, type: type, count: 1) != nil,
                FiniteScan.firstBad(
                    run.region.baseAddress + index * tensor.type.byteCount, type: tensor.type, count: 1) == nil
            else { continue }
            FloatConversion.widen(run, elements: index..<index + 1, into: &value)
            throw CrayonError(
                .notFinite, in: place, item: "tensor '\(tensor.name)'",
                found: "\(value) at index \(range.lowerBound + index), too large for \(type.rawValue)",
                expected: "weights that fit the type asked for", advice: "Keep the type, or take bf16.")
        }
        return cast
    }

    /// - Throws: `CrayonError` for NaN or infinity in the tensor.
    func checkFinite() throws(CrayonError) {
        let size = 1 << 20
        try Parallel.forEachRange(of: tensor.shape.count, size: size) { (range) throws(CrayonError) in
            let start = tensor.region.baseAddress + range.lowerBound * tensor.type.byteCount
            guard let bad = FiniteScan.firstBad(start, type: tensor.type, count: range.count) else { return }
            throw CrayonError(
                .notFinite, in: place, item: "tensor '\(tensor.name)'",
                found: "NaN or infinity at index \(range.lowerBound + bad)", expected: "finite weights",
                advice: "A checkpoint with NaN or infinite weights cannot be quantized.")
        }
    }

    /// A run of the transposed matrix, element by element.
    private func gathered(_ range: Range<Int>) -> Tensor {
        let size = tensor.type.byteCount
        let buffer = ByteBuffer(uninitialized: range.count * size)
        let (rows, columns) = (tensor.shape[0], tensor.shape[1])
        let source = tensor.region.baseAddress
        withExtendedLifetime(tensor.region) {
            var (column, row) = range.lowerBound.quotientAndRemainder(dividingBy: max(rows, 1))
            for index in 0..<range.count {
                (buffer.pointer + index * size).copyMemory(
                    from: source + (row * columns + column) * size, byteCount: size)
                row += 1
                if row == rows { (row, column) = (0, column + 1) }
            }
        }
        return Tensor(name: tensor.name, type: tensor.type, shape: Shape([range.count]), region: buffer.region)
    }
}

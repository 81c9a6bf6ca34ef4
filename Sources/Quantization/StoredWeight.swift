import Bytes
import Kernels
public import Tensors

/// A weight matrix as it lies in memory: dense, or quantized and dequantized a few rows at a time.
public enum StoredWeight: Sendable {
    /// F64, F32, F16 or BF16.
    case dense(Tensor)
    case nf4(NF4Tensor)
    case int8(Int8Tensor)

    public var shape: Shape {
        switch self {
        case .dense(let tensor): tensor.shape
        case .nf4(let tensor): tensor.shape
        case .int8(let tensor): tensor.shape
        }
    }

    /// The first extent; a vector is one row.
    public var rows: Int { shape.rows }
    public var columns: Int { shape.columns }

    /// The type in which the weight came, before any quantization.
    public var sourceType: ElementType {
        switch self {
        case .dense(let tensor): tensor.type
        case .nf4(let tensor): tensor.sourceType
        case .int8(let tensor): tensor.sourceType
        }
    }

    /// Bytes in memory.
    public var byteCount: Int {
        switch self {
        case .dense(let tensor): tensor.region.count
        case .nf4(let tensor): tensor.byteCount
        case .int8(let tensor): tensor.byteCount
        }
    }

    /// A run of the flattened elements as float32.
    /// - Precondition: the range lies inside the weight, which is of a float type if dense.
    public func dequantize(elements: Range<Int>, into target: UnsafeMutablePointer<Float>) {
        switch self {
        case .dense(let tensor): FloatConversion.widen(tensor, elements: elements, into: target)
        case .nf4(let tensor): tensor.dequantize(elements: elements, into: target)
        case .int8(let tensor): tensor.dequantize(elements: elements, into: target)
        }
    }

    /// A run of the flattened elements of a quantized weight, rounded to F32, F16 or BF16.
    /// - Precondition: the range lies inside the weight, which is not dense.
    public func dequantize(elements: Range<Int>, as type: ElementType, into target: UnsafeMutableRawPointer) {
        switch self {
        case .dense(let tensor): preconditionFailure("'\(tensor.name)' is not quantized")
        case .nf4(let tensor): tensor.dequantize(elements: elements, as: type, into: target)
        case .int8(let tensor): tensor.dequantize(elements: elements, as: type, into: target)
        }
    }

    /// As one tensor, made on all cores: dense as it is, quantized as numbers of some type.
    public func tensor(named name: String, as type: ElementType = .f32) -> Tensor {
        if case .dense(let tensor) = self { return tensor.named(name) }
        let buffer = ByteBuffer(uninitialized: shape.count * type.byteCount)
        Parallel.forEachRange(of: shape.count, size: 1 << 18) { range in
            dequantize(elements: range, as: type, into: buffer.pointer + range.lowerBound * type.byteCount)
        }
        return Tensor(name: name, type: type, shape: shape, region: buffer.region)
    }

    /// Rows as float32 `[range.count, columns]`.
    /// - Precondition: the range lies inside `0..<rows`.
    public func dequantizeRows(_ range: Range<Int>, into target: UnsafeMutablePointer<Float>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows)
        dequantize(elements: range.lowerBound * columns..<range.upperBound * columns, into: target)
    }

    /// `y[r] = sum over c of W[range.lowerBound + r][c] x[c]` in float32, on the calling thread. A row's
    /// result does not depend on the range that it is asked for in.
    /// - Precondition: the range lies inside `0..<rows`; x has `columns` elements, y `range.count`.
    public func multiply(rows range: Range<Int>, x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows)
        switch self {
        case .nf4(let tensor): tensor.multiply(rows: range, x: x, into: y)
        case .int8(let tensor): tensor.multiply(rows: range, x: x, into: y)
        case .dense(let tensor) where tensor.type == .f64:
            withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { row in
                for (position, index) in range.enumerated() {
                    guard let start = row.baseAddress else { continue }
                    dequantizeRows(index..<index + 1, into: start)
                    y[position] = VectorMath.dot(start, x, count: columns)
                }
            }
        case .dense(let tensor):
            withExtendedLifetime(tensor) {
                RowProduct.multiply(
                    tensor.region.baseAddress + range.lowerBound * columns * tensor.type.byteCount, type: tensor.type,
                    rows: range.count, columns: columns, x: x, into: y)
            }
        }
    }

    /// `y = W x` over all rows, on all cores.
    public func multiply(x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>) {
        // Enough work in a task to pay for handing it out.
        let size = max(1, min(rows, (1 << 18) / max(columns, 1)))
        Parallel.forEachRange(of: rows, size: size) { multiply(rows: $0, x: x, into: y + $0.lowerBound) }
    }
}

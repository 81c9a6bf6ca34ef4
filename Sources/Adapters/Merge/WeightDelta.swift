import Bytes
import Kernels
import LinearAlgebra
import Tensors

/// What a pair adds to the weight beside it, in float32, made a run of elements at a time and never whole.
///
/// The bits are those of PEFT's `get_delta_weight` on a CPU: the product in float32, times the scale. 16-bit factors are widened
/// first, as PEFT does on loading (`autocast_adapter_dtype`, on by default).
struct WeightDelta: Sendable {
    /// `[rows, columns]` of the weight.
    let rows: Int
    let columns: Int
    private let depth: Int
    private let scale: Float
    /// `[rows, depth]` and `[depth, columns]`.
    private let left: Matrix
    private let right: PackedFactor

    /// - Throws: `CrayonError` when a packed factor is damaged.
    init(_ module: AdapterModule) throws(CrayonError) {
        let a = try module.a.tensor()
        let b = try module.b.tensor()
        let isTransposed = module.isTransposed || module.kind == .embedding
        depth = module.rank
        scale = Float(module.scale)
        left = isTransposed ? Self.widened(a).transposed() : Self.widened(b)
        let wide = isTransposed ? Self.widened(b).transposed() : Self.widened(a)
        right = PackedFactor(wide.pointer, depth: depth, columns: wide.columns)
        rows = left.rows
        columns = right.columns
    }

    /// Fills in the elements of a run of the flattened, row-major weight. The bits do not depend on how runs are cut.
    /// - Precondition: the range lies inside the weight.
    func fill(_ elements: Range<Int>, into target: UnsafeMutablePointer<Float>) {
        precondition(elements.lowerBound >= 0 && elements.upperBound <= rows * columns)
        var at = elements.lowerBound
        while at < elements.upperBound {
            let row = at / columns
            let column = at % columns
            let whole = column == 0 ? (elements.upperBound - at) / columns : 0
            // A part of one row, or as many whole rows as there are.
            let height = max(whole, 1)
            let width = whole > 0 ? columns : min(columns - column, elements.upperBound - at)
            right.multiply(
                left.pointer + row * depth, rows: height, columns: column..<column + width, factor: scale,
                into: target + (at - elements.lowerBound), stride: width)
            at += height * width
        }
    }

    /// Rounds float32 to what another type can hold.
    static func round(_ values: UnsafeMutablePointer<Float>, count: Int, to type: ElementType) {
        withUnsafeTemporaryAllocation(byteCount: count * type.byteCount, alignment: 16) { narrow in
            guard let start = narrow.baseAddress else { return }
            FloatConversion.narrow(values, count: count, to: type, into: start)
            FloatConversion.widen(start, type: type, count: count, into: values)
        }
    }

    private static func widened(_ tensor: Tensor) -> Matrix {
        let matrix = Matrix(rows: tensor.shape.rows, columns: tensor.shape.columns)
        FloatConversion.widen(tensor, elements: 0..<tensor.shape.count, into: matrix.pointer)
        return matrix
    }
}

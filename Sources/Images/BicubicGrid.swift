/// Resizing of a grid of vectors, such as a vision tower's position embeddings, as PyTorch does it:
/// `F.interpolate(mode="bicubic", align_corners=False)`.
public enum BicubicGrid {
    /// - Parameters:
    ///   - source: `[sourceRows, sourceColumns, dim]`
    ///   - antialias: PyTorch's `antialias=True`: the cubic has a = -0.5 there instead of -0.75, and is stretched where
    ///     the grid shrinks. The published CoLLaVO resizes without.
    /// - Returns: `[rows, columns, dim]`
    /// - Precondition: all sides are positive and `source` has the size that they give.
    public static func resize(
        _ source: [Float], sourceRows: Int, sourceColumns: Int, rows: Int, columns: Int, dim: Int,
        antialias: Bool = false
    ) -> [Float] {
        precondition(sourceRows > 0 && sourceColumns > 0 && rows > 0 && columns > 0 && dim > 0)
        precondition(source.count == sourceRows * sourceColumns * dim)
        if rows == sourceRows, columns == sourceColumns { return source }
        let columnTaps = CubicTaps.all(from: sourceColumns, to: columns, antialias: antialias)
        let rowTaps = CubicTaps.all(from: sourceRows, to: rows, antialias: antialias)
        // [sourceRows, columns, dim]
        var narrowed = [Float](repeating: 0, count: sourceRows * columns * dim)
        for y in 0..<sourceRows {
            for (x, taps) in columnTaps.enumerated() {
                for (index, weight) in taps {
                    accumulate(
                        source, (y * sourceColumns + index) * dim, weight, into: &narrowed, (y * columns + x) * dim, dim
                    )
                }
            }
        }
        // [rows, columns, dim]
        var result = [Float](repeating: 0, count: rows * columns * dim)
        for (y, taps) in rowTaps.enumerated() {
            for (index, weight) in taps {
                accumulate(
                    narrowed, index * columns * dim, weight, into: &result, y * columns * dim, columns * dim)
            }
        }
        return result
    }

    /// A square position table with rows before the grid (CLIP's class position) that are kept as they are.
    ///
    /// The published CoLLaVO then rounds the resized rows to float16, whatever the checkpoint's type is.
    ///
    /// - Parameter table: `[leading + sourceSide * sourceSide, dim]`
    /// - Returns: `[leading + side * side, dim]`
    /// - Precondition: `table` has the size that the sides give.
    public static func resizePositionTable(
        _ table: [Float], leading: Int = 1, sourceSide: Int, side: Int, dim: Int, antialias: Bool = false
    ) -> [Float] {
        precondition(leading >= 0 && table.count == (leading + sourceSide * sourceSide) * dim)
        let grid = resize(
            Array(table[(leading * dim)...]), sourceRows: sourceSide, sourceColumns: sourceSide, rows: side,
            columns: side,
            dim: dim, antialias: antialias)
        return table[..<(leading * dim)] + grid
    }

    private static func accumulate(
        _ source: [Float], _ from: Int, _ weight: Float, into target: inout [Float], _ to: Int, _ count: Int
    ) {
        source.withUnsafeBufferPointer { source in
            target.withUnsafeMutableBufferPointer { target in
                for index in 0..<count { target[to + index] += source[from + index] * weight }
            }
        }
    }
}

private enum CubicTaps {
    /// For each position the source samples it is made of and their weights.
    static func all(from inputSize: Int, to outputSize: Int, antialias: Bool) -> [[(index: Int, weight: Float)]] {
        if inputSize == outputSize { return (0..<outputSize).map { [($0, 1)] } }
        return (0..<outputSize).map {
            antialias
                ? stretched($0, from: inputSize, to: outputSize) : plain($0, from: inputSize, to: outputSize)
        }
    }

    /// Four taps whatever the scale; those outside repeat the edge.
    private static func plain(
        _ position: Int, from inputSize: Int, to outputSize: Int
    ) -> [(index: Int, weight: Float)] {
        let scale = Float(inputSize) / Float(outputSize)
        let centre = (-0.5 as Float).addingProduct(scale, Float(position) + 0.5)
        let base = centre.rounded(.down)
        let offset = centre - base
        let weights = [outer(offset + 1), inner(offset, a: -0.75), inner(1 - offset, a: -0.75), outer(2 - offset)]
        return weights.enumerated().map { tap, weight in
            (min(max(Int(base) + tap - 1, 0), inputSize - 1), weight)
        }
    }

    private static func stretched(
        _ position: Int, from inputSize: Int, to outputSize: Int
    ) -> [(index: Int, weight: Float)] {
        let scale = Float(inputSize) / Float(outputSize)
        let stretch = max(scale, 1)
        let centre = scale * (Float(position) + 0.5)
        let support = 2 * stretch
        let low = max(Int(centre - support + 0.5), 0)
        let high = min(Int(centre + support + 0.5), inputSize)
        let weights = (low..<high).map { index -> Float in
            let distance = abs((Float(index) - centre + 0.5) * (1 / stretch))
            if distance < 1 { return inner(distance, a: -0.5) }
            return distance < 2 ? stretchedOuter(distance) : 0
        }
        let total = weights.reduce(0, +)
        return zip(low..<high, weights).map { ($0, $1 / total) }
    }

    // Keys' cubic in float32 with fused products, as PyTorch's builds for AVX2 and later compute it. A position near 20
    // has an error of 1e-6 in float32, so another order of rounding shows in the sixth decimal.

    private static func inner(_ x: Float, a: Float) -> Float {
        (1 as Float).addingProduct((-(a + 3)).addingProduct(a + 2, x) * x, x)
    }

    private static func outer(_ x: Float) -> Float {
        let a: Float = -0.75
        return (-4 * a).addingProduct((8 * a).addingProduct((-5 * a).addingProduct(a, x), x), x)
    }

    private static func stretchedOuter(_ x: Float) -> Float {
        (-4 as Float).addingProduct((8 as Float).addingProduct(x - 5, x), x) * -0.5
    }
}

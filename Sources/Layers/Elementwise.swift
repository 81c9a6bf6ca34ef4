import Kernels

/// What happens to each element or row by itself, split over cores by rows.
public enum Elementwise {
    /// `y += x`
    public static func add(_ x: MatrixView, to y: MatrixView) {
        precondition(x.rows == y.rows && x.columns == y.columns)
        Rowwise.forEach(y.rows, columns: y.columns) { row in
            VectorMath.add(x.row(row), into: y.row(row), count: y.columns)
        }
    }

    /// `x *= sigmoid(1.702 x)`, OpenAI CLIP's approximation of GELU.
    public static func quickGELU(_ x: MatrixView) {
        Rowwise.forEach(x.rows, columns: x.columns) { row in VectorMath.quickGELU(x.row(row), count: x.columns) }
    }

    /// GELU with the error function (Hendrycks and Gimpel 2016).
    public static func gelu(_ x: MatrixView) {
        Rowwise.forEach(x.rows, columns: x.columns) { row in VectorMath.gelu(x.row(row), count: x.columns) }
    }

    /// `gate = gate * sigmoid(gate) * up`, the middle of SwiGLU (Shazeer 2020).
    public static func siluMultiply(gate: MatrixView, up: MatrixView) { siluMultiply(gate: gate, up: up, into: gate) }

    /// The backward pass of `siluMultiply`: replaces `gate` and `up` by the gradients with respect to them.
    /// - Parameter gradient: with respect to the product, of the same extents.
    public static func siluMultiplyBackward(gradient: MatrixView, gate: MatrixView, up: MatrixView) {
        precondition(gate.rows == up.rows && gate.columns == up.columns)
        precondition(gate.rows == gradient.rows && gate.columns == gradient.columns)
        Rowwise.forEach(gate.rows, columns: gate.columns) { row in
            VectorMath.siluMultiplyBackward(
                gradient: gradient.row(row), gate: gate.row(row), up: up.row(row), count: gate.columns)
        }
    }

    /// The backward pass of `gelu`: multiplies `gradient` by the slope at `x`, what GELU was given.
    public static func geluBackward(_ x: MatrixView, gradient: MatrixView) {
        precondition(x.rows == gradient.rows && x.columns == gradient.columns)
        Rowwise.forEach(x.rows, columns: x.columns) { row in
            VectorMath.geluBackward(x.row(row), gradient: gradient.row(row), count: x.columns)
        }
    }

    /// `z = gate * sigmoid(gate) * up`
    public static func siluMultiply(gate: MatrixView, up: MatrixView, into z: MatrixView) {
        precondition(gate.rows == up.rows && gate.columns == up.columns)
        precondition(gate.rows == z.rows && gate.columns == z.columns)
        let run = Rowwise.runRows(columns: gate.columns)
        Parallel.forEach(
            count: Parallel.rangeCount(of: gate.rows, size: run), SwiGLU(gate: gate, up: up, z: z, run: run))
    }

    /// Wide enough to go over several cores for the few rows of a decoding step, too, which must not allocate.
    private struct SwiGLU: ParallelBody {
        let gate: MatrixView
        let up: MatrixView
        let z: MatrixView
        let run: Int

        func run(_ index: Int) {
            for row in Parallel.range(index, of: gate.rows, size: run) {
                VectorMath.siluMultiply(gate: gate.row(row), up: up.row(row), into: z.row(row), count: gate.columns)
            }
        }
    }

    /// Rotates the heads in each row: row r by the angles of position `first + r`.
    /// - Parameters:
    ///   - x: `[rows, heads * headSize]`
    ///   - table: holds at least `first + rows` positions.
    ///   - backwards: by the negative angles.
    public static func rotate(_ x: MatrixView, by table: RotaryTable, from first: Int, backwards: Bool = false) {
        precondition(x.columns % table.headSize == 0 && first >= 0 && first + x.rows <= table.positions)
        let half = table.headSize / 2
        (backwards ? table.negativeSines : table.sines).withUnsafeBufferPointer { sines in
            table.cosines.withUnsafeBufferPointer { cosines in
                guard let sines = sines.baseAddress, let cosines = cosines.baseAddress else { return }
                Rowwise.forEach(x.rows, columns: x.columns) { row in
                    let offset = (first + row) * half
                    VectorMath.rotateHalf(
                        x.row(row), heads: x.columns / table.headSize, headSize: table.headSize,
                        cosines: cosines + offset,
                        sines: sines + offset)
                }
            }
        }
    }
}

/// Loops over rows: on this thread while there is little to do, else in runs of rows on all cores.
enum Rowwise {
    /// Elements that are worth handing to another core.
    private static let runElements = 1 << 15

    /// Rows that are not split.
    static func runRows(columns: Int) -> Int { max(1, runElements / max(columns, 1)) }

    static func forEach(_ rows: Int, columns: Int, _ body: (Int) -> Void) {
        let run = runRows(columns: columns)
        if rows <= run {
            for row in 0..<rows { body(row) }
        } else {
            Parallel.forEachRange(of: rows, size: run) { range in for row in range { body(row) } }
        }
    }
}

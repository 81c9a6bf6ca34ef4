import Bytes
import Kernels
import Quantization
import Tensors

/// `tuned - base` of one weight in float32, with what rounding alone may have made of it.
struct WeightDifference {
    /// `[rows, columns]`; a vector is one row.
    let delta: Matrix
    let squaredBase: Double
    let squaredDelta: Double
    /// An upper bound on the singular values that rounding of both weights leaves. A random matrix with independent entries
    /// has none above the norm of its heaviest row plus that of its heaviest column; for entries of one variance that is
    /// sigma (sqrt m + sqrt n).
    let noiseFloor: Double
    /// The norm of what rounding may have left.
    let noiseNorm: Double

    /// Share of the bound that is added, since a finite matrix may exceed it a little.
    private static let margin = 1.02
    /// Rows of a task.
    private static let band = 32

    /// - Precondition: both weights have the same shape.
    init(base: StoredWeight, tuned: StoredWeight) {
        precondition(base.shape == tuned.shape)
        let (rows, columns) = (base.rows, base.columns)
        let delta = Matrix(rows: rows, columns: columns)
        let bands = (rows + Self.band - 1) / Self.band
        let sums = BandSums(rows: rows, columns: columns, bands: bands)
        Parallel.forEachRange(of: rows, size: Self.band) { band in
            let index = band.lowerBound / Self.band
            let scratch = Matrix(rows: 2, columns: columns)
            for row in band {
                let (old, noise) = (scratch.pointer, scratch.pointer + columns)
                let new = delta.pointer + row * columns
                let elements = row * columns..<(row + 1) * columns
                base.dequantizeRows(row..<row + 1, into: old)
                tuned.dequantizeRows(row..<row + 1, into: new)
                noise.update(repeating: 0, count: columns)
                RoundingNoise(base).raise(noise, elements: elements, values: old)
                RoundingNoise(tuned).raise(noise, elements: elements, values: new)
                for column in 0..<columns { new[column] -= old[column] }
                sums.add(row: row, band: index, old: old, delta: new, noise: noise)
            }
        }
        self.delta = delta
        (squaredBase, squaredDelta) = (sums.squaredBase, sums.squaredDelta)
        let (heaviestRow, heaviestColumn, noise) = sums.heaviest()
        noiseFloor = Self.margin * (heaviestRow.squareRoot() + heaviestColumn.squareRoot())
        noiseNorm = noise.squareRoot()
    }

    var deltaRatio: Double {
        squaredBase > 0 ? (squaredDelta / squaredBase).squareRoot() : squaredDelta > 0 ? .infinity : 0
    }
}

/// Sums of squares along rows and columns, gathered by bands of rows.
private final class BandSums: @unchecked Sendable {
    // @unchecked: each task writes the sums of its own rows and its own band.
    private let columns: Int
    private let bands: Int
    /// Of a row: base, delta, noise.
    private let ofRows: UnsafeMutableBufferPointer<SIMD4<Double>>
    /// Of a column in a band: delta, then noise.
    private let ofColumns: Matrix

    init(rows: Int, columns: Int, bands: Int) {
        self.columns = columns
        self.bands = bands
        ofRows = .allocate(capacity: rows)
        ofRows.initialize(repeating: .zero)
        ofColumns = Matrix(rows: bands, columns: 2 * columns)
    }

    deinit { ofRows.deallocate() }

    func add(
        row: Int, band: Int, old: UnsafePointer<Float>, delta: UnsafePointer<Float>, noise: UnsafePointer<Float>
    ) {
        let changes = ofColumns.pointer + band * 2 * columns
        let noises = changes + columns
        var sum = SIMD4<Double>.zero
        let run = 256
        for start in stride(from: 0, to: columns, by: run) {
            let count = min(run, columns - start)
            sum[0] += Double(VectorMath.dot(old + start, old + start, count: count))
            sum[1] += Double(VectorMath.dot(delta + start, delta + start, count: count))
            var total: Float = 0
            for column in start..<start + count {
                changes[column] += delta[column] * delta[column]
                noises[column] += noise[column]
                total += noise[column]
            }
            sum[2] += Double(total)
        }
        ofRows[row] = sum
    }

    var squaredBase: Double { ofRows.reduce(0) { $0 + $1[0] } }
    var squaredDelta: Double { ofRows.reduce(0) { $0 + $1[1] } }

    /// Of the heaviest row and column, and of all: noise, or the delta itself where it is smaller.
    func heaviest() -> (row: Double, column: Double, all: Double) {
        var (row, column, all) = (0.0, 0.0, 0.0)
        for sums in ofRows {
            row = max(row, min(sums[1], sums[2]))
            all += min(sums[1], sums[2])
        }
        for index in 0..<columns {
            var (change, noise) = (0.0, 0.0)
            for band in 0..<bands {
                change += Double(ofColumns.pointer[band * 2 * columns + index])
                noise += Double(ofColumns.pointer[(band * 2 + 1) * columns + index])
            }
            column = max(column, min(change, noise))
        }
        return (row, column, all)
    }
}

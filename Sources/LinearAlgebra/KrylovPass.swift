import Kernels
import Tensors

/// Both products of a block Krylov step in one pass over the matrix: `Y = A V`, then `G = A^T Y`, panel by panel.
///
/// A group of rows is multiplied by V, and while it is still in a cache its transpose by the rows of Y just made.
final class KrylovPass {
    /// Rows of a group: a multiple of the kernels' six, 3/4 MB of 4096 columns.
    private static let group = 48
    /// Columns of A taken at a time: 512 rows of a panel fill a first-level cache, 256 leave room for A.
    private static let multiplyRun = 512
    private static let accumulateRun = 256
    /// Sums of their own for G; as many as rows give work to, whatever the number of cores.
    private static let largestChunkCount = 16

    let matrix: Matrix
    /// What Y is multiplied by on its way into G, so that squares of large or tiny numbers stay in range; a power of two.
    let scale: Float
    private let chunk: Int
    /// `[chunks, columns of G]`: what each chunk of rows adds to G; fresh pages for each pass would cost a tenth of it.
    private var sums = Matrix(rows: 0, columns: 0)

    init(matrix: Matrix, scale: Float) {
        self.matrix = matrix
        self.scale = scale
        chunk = max(Self.group, ((matrix.rows - 1) / Self.largestChunkCount / Self.group + 1) * Self.group)
    }

    /// - Parameters:
    ///   - v: `panels` panels `[columns, 16]`, one after the other.
    ///   - y: as many `[rows, 16]`, overwritten, times `scale`.
    ///   - g: as many `[columns, 16]`, overwritten; nil where Y is all that is wanted.
    func run(panels: Int, v: Matrix, y: Matrix, g: Matrix?) {
        let width = PanelProduct.width
        let (rows, columns) = (matrix.rows, matrix.columns)
        let chunks = (rows - 1) / chunk + 1
        if let g, sums.columns != g.count { sums = Matrix(rows: chunks, columns: g.count) }
        Parallel.forEach(count: chunks) { index in
            if let g { (sums.pointer + index * sums.columns).update(repeating: 0, count: g.count) }
            let end = min((index + 1) * chunk, rows)
            for start in stride(from: index * chunk, to: end, by: Self.group) {
                let count = min(Self.group, end - start)
                let a = matrix.pointer + start * columns
                for panel in 0..<panels {
                    let target = y.pointer + (panel * rows + start) * width
                    for first in stride(from: 0, to: columns, by: Self.multiplyRun) {
                        PanelProduct.multiply(
                            a + first, stride: columns, rows: count, count: min(Self.multiplyRun, columns - first),
                            by: v.pointer + (panel * columns + first) * width, into: target, adding: first > 0)
                    }
                    VectorMath.scale(target, by: scale, count: count * width)
                }
                guard g != nil else { continue }
                for panel in 0..<panels {
                    for first in stride(from: 0, to: columns, by: Self.accumulateRun) {
                        let run = min(Self.accumulateRun, columns - first)
                        PanelProduct.accumulate(
                            transposed: a + first, stride: columns, rows: count, count: run,
                            by: y.pointer + (panel * rows + start) * width,
                            into: sums.pointer + index * sums.columns + (panel * columns + first) * width)
                    }
                }
            }
        }
        guard let g else { return }
        Parallel.forEachRange(of: g.count, size: 1 << 14) { range in
            let target = g.pointer + range.lowerBound
            target.update(from: sums.pointer + range.lowerBound, count: range.count)
            for index in 1..<max(chunks, 1) {
                VectorMath.add(sums.pointer + index * g.count + range.lowerBound, into: target, count: range.count)
            }
        }
    }
}

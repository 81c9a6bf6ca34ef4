public import Bytes
import Kernels
public import Tensors

/// The Frobenius norm, and with it whether every element is a number.
public enum MatrixNorm {
    /// The sum of squares. Short runs are summed in float32 and those sums in float64: relative error below 1e-8.
    /// - Throws: `CrayonError` naming row and column of the first NaN or infinity.
    public static func squared(
        _ matrix: Matrix, place: String = "matrix", item: String? = nil
    ) throws(CrayonError) -> Double {
        let total = sum(matrix) { pointer, count in Double(VectorMath.dot(pointer, pointer, count: count)) }
        // Squares may leave float32's range though the elements do not.
        if total.isFinite, total > 1e-30 * Double(matrix.count) || total == 0 && isZero(matrix) { return total }
        for index in 0..<matrix.count where !matrix.pointer[index].isFinite {
            throw CrayonError(
                .notFinite, in: place, item: item,
                found: "\(matrix.pointer[index]) at row \(index / matrix.columns), column \(index % matrix.columns)",
                expected: "finite numbers")
        }
        return sum(matrix) { pointer, count in
            (0..<count).reduce(0) { $0 + Double(pointer[$1]) * Double(pointer[$1]) }
        }
    }

    private static func isZero(_ matrix: Matrix) -> Bool { (0..<matrix.count).allSatisfy { matrix.pointer[$0] == 0 } }

    /// On all cores, added up in the order of the elements.
    private static func sum(_ matrix: Matrix, _ squares: (UnsafePointer<Float>, Int) -> Double) -> Double {
        let size = 1 << 16
        let run = 256
        var parts = [Double](repeating: 0, count: (matrix.count + size - 1) / size)
        parts.withUnsafeMutableBufferPointer { parts in
            nonisolated(unsafe) let parts = parts
            Parallel.forEachRange(of: matrix.count, size: size) { range in
                var sum = 0.0
                for start in stride(from: range.lowerBound, to: range.upperBound, by: run) {
                    sum += squares(matrix.pointer + start, min(run, range.upperBound - start))
                }
                parts[range.lowerBound / size] = sum
            }
        }
        return parts.reduce(0, +)
    }
}

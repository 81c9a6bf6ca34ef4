import Kernels

/// Softmax cross-entropy over rows of logits, `-log softmax(logits)[target]`, in float32 with sums in double.
public enum CrossEntropy {
    /// The sum over the rows; the logits become the gradient of that sum.
    /// - Parameters:
    ///   - logits: `[rows, vocabulary]`
    ///   - targets: one column for each row.
    /// - Returns: the sum, its rows added in their order.
    public static func forwardBackward(_ logits: MatrixView, targets: some RandomAccessCollection<Int>) -> Double {
        precondition(targets.count == logits.rows && targets.allSatisfy { (0..<logits.columns).contains($0) })
        let targets = Array(targets)
        let losses = Parallel.mapRanges(of: logits.rows, size: max(1, (1 << 15) / max(logits.columns, 1))) { rows in
            rows.map { row in
                let line = logits.row(row)
                let loss = VectorMath.softmaxLoss(line, count: logits.columns, target: targets[row])
                line[targets[row]] -= 1
                return loss
            }
        }
        return losses.joined().reduce(0, +)
    }
}

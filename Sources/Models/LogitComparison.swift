import Foundation
public import Tensors

/// How far one set of logits is from another, for the same tokens.
public struct LogitComparison: Codable, Equatable, Sendable {
    /// Frobenius norm of the difference over that of the reference.
    public var relativeError: Double
    public var maxAbsError: Double
    /// Share of positions at which both have the same largest logit.
    public var top1Agreement: Double
    /// Mean over positions of KL(softmax(reference) || softmax(measured)), in nats.
    public var klMean: Double
    /// exp of the mean cross-entropy against the labels, of the measured logits; nil without labels.
    public var perplexity: Double?
    /// The same of the reference logits.
    public var referencePerplexity: Double?

    /// Compares row by row in double precision.
    ///
    /// - Parameters:
    ///   - measured: `[positions, vocabulary]`
    ///   - reference: the same shape
    ///   - targets: for each row the token that should follow, nil where none is asked for.
    /// - Precondition: shapes agree, and `targets` has one element per row where it is given.
    public init(measured: Matrix, reference: Matrix, targets: [Int?]? = nil) {
        precondition(measured.rows == reference.rows && measured.columns == reference.columns)
        precondition(targets == nil || targets?.count == measured.rows)
        var differenceSquares = 0.0
        var referenceSquares = 0.0
        var largest = 0.0
        var agreeing = 0
        var divergence = 0.0
        var measuredLoss = 0.0
        var referenceLoss = 0.0
        var targetCount = 0
        var isFinite = true

        for index in 0..<measured.rows {
            let got = UnsafeBufferPointer(measured.row(index))
            let want = UnsafeBufferPointer(reference.row(index))
            for column in got.indices {
                let difference = Double(got[column]) - Double(want[column])
                if !difference.isFinite { isFinite = false }
                differenceSquares += difference * difference
                referenceSquares += Double(want[column]) * Double(want[column])
                largest = max(largest, abs(difference))
            }
            guard !got.isEmpty else { continue }
            if Self.largestIndex(got) == Self.largestIndex(want) { agreeing += 1 }
            let gotNormalizer = Self.logSumExp(got)
            let wantNormalizer = Self.logSumExp(want)
            for column in got.indices {
                let logWant = Double(want[column]) - wantNormalizer
                divergence += exp(logWant) * (logWant - (Double(got[column]) - gotNormalizer))
            }
            if let target = targets?[index], got.indices.contains(target) {
                measuredLoss += gotNormalizer - Double(got[target])
                referenceLoss += wantNormalizer - Double(want[target])
                targetCount += 1
            }
        }
        let rows = Double(max(measured.rows, 1))
        // A NaN would pass a `max` or a comparison unseen.
        relativeError =
            !isFinite
            ? .infinity
            : (referenceSquares > 0
                ? (differenceSquares / referenceSquares).squareRoot() : differenceSquares.squareRoot())
        maxAbsError = isFinite ? largest : .infinity
        top1Agreement = Double(agreeing) / rows
        klMean = isFinite ? max(0, divergence / rows) : .infinity
        if targetCount > 0 {
            perplexity = exp(measuredLoss / Double(targetCount))
            referencePerplexity = exp(referenceLoss / Double(targetCount))
        }
    }

    /// The target of each row from labels in the probe format: position `p` is to predict `labels[p + 1]`,
    /// and a negative label asks for nothing.
    /// - Parameters:
    ///   - labels: one per position of the sequence.
    ///   - positions: the position that each row of logits belongs to.
    public static func targets(labels: [Int], positions: some Collection<Int>) -> [Int?] {
        positions.map { position in
            position + 1 < labels.count && labels[position + 1] >= 0 ? labels[position + 1] : nil
        }
    }

    /// Ties go to the lower index, as argmax does.
    private static func largestIndex(_ row: UnsafeBufferPointer<Float>) -> Int {
        var best = 0
        for index in row.indices where row[index] > row[best] { best = index }
        return best
    }

    private static func logSumExp(_ row: UnsafeBufferPointer<Float>) -> Double {
        var top = -Double.infinity
        for value in row { top = max(top, Double(value)) }
        var sum = 0.0
        for value in row { sum += exp(Double(value) - top) }
        return top + log(sum)
    }
}

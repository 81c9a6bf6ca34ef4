import Foundation
import Models
import Tensors
import Testing

@Suite struct LogitComparisons {
    @Test func sameLogitsDifferByNothing() {
        let logits = Matrix(rows: 2, columns: 3, values: [1, 2, 3, -1, 0, 5])
        let comparison = LogitComparison(measured: logits, reference: logits.copy())
        #expect(comparison.relativeError == 0)
        #expect(comparison.maxAbsError == 0)
        #expect(comparison.top1Agreement == 1)
        #expect(comparison.klMean == 0)
        #expect(comparison.perplexity == nil)
    }

    @Test func matchesNumbersWorkedOutByHand() {
        let reference = Matrix(rows: 2, columns: 2, values: [0, 0, 3, 4])
        let measured = Matrix(rows: 2, columns: 2, values: [0, Float(log(3.0)), 4, 4])
        let comparison = LogitComparison(measured: measured, reference: reference, targets: [1, nil])
        let difference = (log(3.0) * log(3.0) + 1).squareRoot()
        #expect(abs(comparison.relativeError - difference / 5) < 1e-7)
        #expect(abs(comparison.maxAbsError - log(3.0)) < 1e-7)
        // Row 0: 0 against 1; row 1: index 1 against index 0, the lower of a tie.
        #expect(comparison.top1Agreement == 0)
        let uniform = 0.5 * (log(0.5) - log(0.25)) + 0.5 * (log(0.5) - log(0.75))
        let p = 1 / (1 + exp(1.0))
        let tied = p * (log(p) - log(0.5)) + (1 - p) * (log(1 - p) - log(0.5))
        #expect(abs(comparison.klMean - (uniform + tied) / 2) < 1e-7)
        #expect(abs((comparison.perplexity ?? 0) - 4.0 / 3) < 1e-6)
        #expect(abs((comparison.referencePerplexity ?? 0) - 2) < 1e-6)
    }

    @Test func aNaNIsNeverAgreement() {
        let reference = Matrix(rows: 1, columns: 2, values: [1, 2])
        let comparison = LogitComparison(
            measured: Matrix(rows: 1, columns: 2, values: [.nan, 2]), reference: reference)
        #expect(comparison.relativeError == .infinity)
        #expect(comparison.klMean == .infinity)
    }

    @Test func targetsShiftByOne() {
        #expect(LogitComparison.targets(labels: [7, -100, 9], positions: [0, 1, 2]) == [nil, 9, nil])
        #expect(LogitComparison.targets(labels: [7, 8, 9], positions: [1]) == [9])
    }
}

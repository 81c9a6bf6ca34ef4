import CrayonKit

/// A verification report for a person to read.
enum VerificationText {
    static func render(_ report: VerificationReport) -> String {
        var lines = [mark(report.structure.passed) + " structure" + (report.structure.problem.map { ": \($0)" } ?? "")]
        if let digests = report.digests {
            lines.append(
                "\(mark(digests.passed)) digests: \(digests.checkedTensors) tensors, \(Format.bytes(digests.checkedBytes))"
            )
            lines += digests.failed.map { "    differs: \($0)" }
        }
        if let numbers = report.numbers {
            lines.append("\(mark(numbers.passed)) numbers: \(numbers.checkedTensors) weights")
            lines += numbers.problems.map { "    \($0)" }
        }
        if !report.probes.isEmpty {
            lines.append("\(mark(report.probes.allSatisfy(\.passed))) probes")
            lines.append(table(report.probes))
            if report.probes.contains(where: { !$0.passed && $0.tolerance == Verifier.defaultTolerance }) {
                lines.append("    A probe of another precision needs a --tolerance of its own.")
            }
        }
        if let source = report.source {
            lines.append("\(mark(source.passed)) source \(source.source): \(source.tensors.count) weights")
            lines.append(summary(source.tensors))
            lines.append(table(source.logits))
        }
        lines.append(report.passed ? "All held." : "Something did not hold.")
        return lines.joined(separator: "\n")
    }

    private static func mark(_ passed: Bool) -> String { passed ? "ok  " : "FAIL" }

    /// Before a row: whether it held.
    private static func rowMark(_ passed: Bool) -> String { passed ? "    " : "  ! " }

    private static func table(_ probes: [VerificationReport.ProbeFinding]) -> String {
        let rows = probes.map { probe in
            [
                probe.name, "\(probe.positions)", Format.error(probe.relativeError), Format.error(probe.tolerance),
                Format.error(probe.maxAbsError), Format.percent(probe.top1Agreement), Format.error(probe.klMean),
                probe.perplexity.map(Format.error) ?? "", probe.referencePerplexity.map(Format.error) ?? "",
            ]
        }
        return Format.table(
            ["probe", "positions", "rel. error", "allowed", "max error", "top-1", "KL", "perplexity", "recorded"], rows,
            rightAligned: Set(1...8), marks: probes.map { rowMark($0.passed) })
    }

    /// One line for each coding, and every weight that did not hold.
    private static func summary(_ tensors: [VerificationReport.TensorFinding]) -> String {
        var rows: [[String]] = []
        var marks: [String] = []
        for coding in Set(tensors.map(\.coding)).sorted() {
            let group = tensors.filter { $0.coding == coding }
            guard let worst = group.max(by: { $0.relativeError < $1.relativeError }) else { continue }
            rows.append([
                coding, "\(group.count)", Format.error(worst.relativeError), Format.error(worst.limit),
                Format.error(group.map(\.cosine).min() ?? 1), Format.error(group.map(\.worstBlock).max() ?? 0),
                worst.name,
            ])
            marks.append(rowMark(true))
        }
        for tensor in tensors where !tensor.passed {
            rows.append([
                tensor.coding, "", Format.error(tensor.relativeError), Format.error(tensor.limit),
                Format.error(tensor.cosine), Format.error(tensor.worstBlock), tensor.name,
            ])
            marks.append(rowMark(false))
        }
        return Format.table(
            ["coding", "weights", "rel. error", "allowed", "cosine", "worst block", "largest in"], rows,
            rightAligned: Set(1...5), marks: marks)
    }
}

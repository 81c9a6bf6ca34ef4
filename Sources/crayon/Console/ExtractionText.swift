import CrayonKit

/// A report of an extraction for a person to read.
enum ExtractionText {
    static func render(_ report: ExtractionReport) -> String {
        var blocks: [String] = []
        if !report.pairs.isEmpty { blocks.append(table(report.pairs)) }
        var lines: [String] = []
        if !report.roundingOnly.isEmpty {
            lines.append(
                "Rounding only: \(report.roundingOnly.count) modules differ by no more than their stored types may: "
                    + list(report.roundingOnly.map(\.module)))
        }
        if report.unchangedCount > 0 { lines.append("Unchanged: \(report.unchangedCount) weights") }
        if !report.replaced.isEmpty { lines.append("Whole: " + list(report.replaced)) }
        for weight in report.leftOut.sorted(by: { $0.deltaRatio > $1.deltaRatio }).prefix(8) {
            lines.append("Left out: \(weight.name), which differs by \(Format.percent(weight.deltaRatio))")
        }
        if report.leftOut.count > 8 { lines.append("Left out: \(report.leftOut.count - 8) more") }
        if !report.onlyInBase.isEmpty { lines.append("Only in the base: " + list(report.onlyInBase)) }
        if !report.onlyInTuned.isEmpty { lines.append("Only in the tuned model: " + list(report.onlyInTuned)) }
        if report.isWritten {
            lines.append(
                "\(report.output): \(report.pairs.count) pairs, which leave \(Format.error(report.residual)) of the "
                    + "difference's norm")
        } else {
            lines.append("Nothing to extract, nothing written.")
        }
        blocks.append(lines.joined(separator: "\n"))
        return blocks.joined(separator: "\n\n")
    }

    private static func table(_ layers: [ExtractedLayer]) -> String {
        Format.table(
            ["module", "shape", "delta/base", "rank", "energy", "residual", "S first", "S last", "noise", "time"],
            layers.map { layer in
                [
                    layer.module, layer.shape.map(String.init).joined(separator: " x "), Format.error(layer.deltaRatio),
                    "\(layer.rank)", Format.percent(layer.energy), Format.error(layer.residual),
                    Format.error(layer.firstValue), Format.error(layer.lastValue), Format.error(layer.noiseFloor),
                    Format.duration(tenths: .seconds(layer.seconds)),
                ]
            }, rightAligned: Set(2...9))
    }

    private static func list(_ names: [String]) -> String {
        names.prefix(4).joined(separator: ", ") + (names.count > 4 ? " and \(names.count - 4) more" : "")
    }
}

import CrayonKit
import Foundation

/// What is known of adapters, for a person to read.
enum AdapterText {
    static func render(_ summaries: [AdapterSummary]) -> String {
        let table = Format.table(
            [
                "set", "positions", "reads", "rank", "scale", "modules", "layers", "pairs", "parameters", "bytes",
                "merges",
            ],
            summaries.map { set in
                [
                    set.name, set.scope, set.input, range(set.ranks.map(String.init)), range(set.scales.map(number)),
                    set.modules.joined(separator: " "), layers(set.layers), "\(set.pairCount)", "\(set.parameterCount)",
                    Format.bytes(set.byteCount), set.canMerge ? "yes" : "no",
                ]
            }, rightAligned: [7, 8, 9])
        return ([table] + summaries.flatMap(notes)).joined(separator: "\n")
    }

    static func render(_ comparison: AdapterComparison) -> String {
        func row(_ name: String, _ rank: String, _ measures: AdapterComparison.Measures) -> [String] {
            [
                name, rank, String(format: "%.4g", measures.firstNorm), String(format: "%.4g", measures.secondNorm),
                String(format: "%.6f", measures.cosine), Format.error(measures.relativeDifference),
            ]
        }
        var rows = comparison.modules.map { module in
            let ranks = "\(module.firstRank)" + (module.firstRank == module.secondRank ? "" : " | \(module.secondRank)")
            return row(module.path, ranks, module.measures)
        }
        rows.append(row("all", "", comparison.total))
        var lines = [
            Format.table(
                ["module", "rank", "norm A", "norm B", "cosine", "norm (A - B) / norm A"], rows,
                rightAligned: [1, 2, 3, 4, 5])
        ]
        for (name, place, singles) in [
            ("A", comparison.first, comparison.onlyInFirst), ("B", comparison.second, comparison.onlyInSecond),
        ] where !singles.isEmpty {
            lines.append("Only in \(name), \(place):")
            lines += singles.map { "  \($0.path)  norm \(String(format: "%.4g", $0.norm))" }
        }
        if !comparison.otherDifferences.isEmpty {
            lines.append("Beside the pairs these differ: " + comparison.otherDifferences.joined(separator: ", "))
        }
        return lines.joined(separator: "\n")
    }

    private static func notes(_ set: AdapterSummary) -> [String] {
        var notes: [String] = []
        if let reason = set.reason { notes.append("\(set.name) is not merged: \(reason).") }
        if set.hasMagnitudes { notes.append("\(set.name) is DoRA: it has magnitudes beside its pairs.") }
        if set.hasPairBiases { notes.append("\(set.name) has biases of its pairs.") }
        if !set.replacements.isEmpty {
            notes.append(
                "\(set.name) replaces \(set.replacements.count) tensors: \(set.replacements.joined(separator: ", "))")
        }
        if let base = set.baseName { notes.append("\(set.name) says that it was trained on '\(base)'.") }
        return notes
    }

    private static func number(_ value: Double) -> String { String(format: "%.4g", value) }

    private static func range(_ values: [String]) -> String {
        values.count > 3 ? "\(values[0]) to \(values[values.count - 1])" : values.joined(separator: ", ")
    }

    private static func layers(_ layers: [Int]) -> String {
        guard let first = layers.first, let last = layers.last else { return "" }
        if first == last { return "\(first)" }
        if layers.count == last - first + 1 { return "\(first) to \(last)" }
        return range(layers.map(String.init)) + ", \(layers.count) of them"
    }
}

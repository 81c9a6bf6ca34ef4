import CrayonKit

/// The report of a merge for a person to read.
enum MergeText {
    static func render(_ report: MergeReport) -> String {
        var blocks: [String] = []
        if !report.layers.isEmpty {
            blocks.append(
                Format.table(
                    ["weight", "method", "delta", "retained", "rel. error", "largest change"],
                    report.layers.map { layer in
                        [
                            layer.name, layer.method.rawValue, Format.percent(layer.deltaRatio),
                            Format.percent(layer.retained), Format.error(layer.relativeError),
                            Format.error(layer.largestChange),
                        ]
                    }, rightAligned: [2, 3, 4, 5]))
        }
        if !report.replaced.isEmpty {
            blocks.append("Replaced or added to: " + report.replaced.joined(separator: ", "))
        }
        if !report.beside.isEmpty { blocks.append("Beside the weights: set " + report.beside.joined(separator: ", ")) }
        if let lowest = report.lowestRetention {
            let mean = report.layers.reduce(0) { $0 + $1.retained } / Double(report.layers.count)
            blocks.append(
                "\(report.layers.count) weights retain \(Format.percent(mean)) of their delta on average, "
                    + "\(Format.percent(lowest.retained)) at least (\(lowest.name)).")
        }
        return blocks.joined(separator: "\n\n")
    }
}

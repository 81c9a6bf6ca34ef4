import CrayonKit

/// A model's summary for a person to read.
enum SummaryText {
    static func render(_ summary: ModelSummary, tensors: Bool) -> String {
        var blocks: [String] = ["\(summary.path): \(summary.kind), \(Format.bytes(summary.byteCount))"]
        if let configuration = summary.configuration { blocks.append(describe(configuration)) }
        blocks.append(
            Format.table(
                ["part", "format", "weights", "parameters", "bytes", "bits per weight"],
                summary.parts.map { part in
                    [
                        part.name, part.formats.joined(separator: ", "), "\(part.tensorCount)",
                        count(part.parameterCount),
                        Format.bytes(part.byteCount),
                        part.parameterCount == 0
                            ? "" : oneDecimal(8 * Double(part.byteCount) / Double(part.parameterCount)),
                    ]
                }, rightAligned: [2, 3, 4, 5]))
        if !summary.files.isEmpty { blocks.append("Files: " + summary.files.joined(separator: ", ")) }
        if !summary.probes.isEmpty {
            blocks.append(
                "Probes: "
                    + summary.probes.map { probe in
                        probe.relativeError.map { "\(probe.name) (relative error \(Format.error($0)))" } ?? probe.name
                    }.joined(separator: ", "))
        }
        if !summary.history.isEmpty {
            blocks.append("History:\n" + summary.history.map { "  " + $0 }.joined(separator: "\n"))
        }
        if !summary.unused.isEmpty {
            blocks.append("Without a role in the model: " + summary.unused.joined(separator: ", "))
        }
        if !summary.warnings.isEmpty {
            blocks.append(summary.warnings.map { "warning: \($0)" }.joined(separator: "\n"))
        }
        if tensors {
            let hasDigests = summary.tensors.contains { $0.sha256 != nil }
            blocks.append(
                Format.table(
                    ["tensor", "type", "shape", "bytes", "role"] + (hasDigests ? ["SHA-256"] : []),
                    summary.tensors.map {
                        [
                            $0.name, $0.type, "[" + $0.shape.map(String.init).joined(separator: ", ") + "]",
                            "\($0.byteCount)", $0.role ?? "",
                        ] + (hasDigests ? [$0.sha256 ?? ""] : [])
                    }, rightAligned: [3]))
        }
        return blocks.joined(separator: "\n\n")
    }

    private static func describe(_ model: ModelConfiguration) -> String {
        let backbone = model.backbone
        var lines = [
            "Layout \(model.layout)",
            "Backbone: \(backbone.layerCount) layers, hidden \(backbone.hiddenSize), \(backbone.headCount) heads "
                + "(\(backbone.keyValueHeadCount) key-value), MLP \(backbone.intermediateSize), vocabulary \(backbone.vocabularySize)",
        ]
        if let vision = model.vision {
            let used = vision.usedLayerCount
            lines.append(
                "Vision: \(used == vision.layerCount ? "" : "\(used) of ")\(vision.layerCount) layers, width \(vision.width), \(vision.headCount) heads, "
                    + "\(vision.imageSize) x \(vision.imageSize) pixels, \(vision.patchCount) patches of \(vision.patchSize)"
            )
        }
        if let crayon = model.crayon {
            lines.append(
                "Crayon queries: \(crayon.categories.count) classes, up to \(crayon.numberingRows - 1) of each, entry \(crayon.entry.rawValue)"
            )
        }
        for set in model.lowRankSets {
            lines.append(
                "Low-rank set \(set.name): rank \(set.rank), alpha \(PythonNumber.repr(set.alpha)), reads \(set.input.rawValue), "
                    + "acts at \(set.scope.rawValue) positions\(set.isActive ? "" : ", not active")")
        }
        lines.append("Prompt template: \(model.prompt.name)")
        return lines.joined(separator: "\n")
    }

    private static func count(_ value: Int) -> String {
        value < 1_000_000 ? "\(value)" : oneDecimal(Double(value) / 1e6) + " M"
    }

    private static func oneDecimal(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}

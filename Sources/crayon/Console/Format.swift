import CrayonKit
import Foundation

/// How numbers are shown to a person.
enum Format {
    /// Decimal units with three significant digits: 18.4 GB.
    static func bytes(_ count: Int) -> String {
        var value = Double(count)
        for unit in ["B", "kB", "MB", "GB"] {
            if value < 999.5 { return digits(value, whole: unit == "B") + " " + unit }
            value /= 1000
        }
        return digits(value, whole: false) + " TB"
    }

    private static func digits(_ value: Double, whole: Bool) -> String {
        if whole { return String(Int(value)) }
        return String(format: value < 9.995 ? "%.2f" : value < 99.95 ? "%.1f" : "%.0f", value)
    }

    static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds < 359_999 else { return "—" }
        let whole = Int(seconds.rounded())
        if whole < 60 { return "\(whole) s" }
        if whole < 3600 { return String(format: "%d:%02d min", whole / 60, whole % 60) }
        return String(format: "%d:%02d h", whole / 3600, whole % 3600 / 60)
    }

    /// Seconds with one decimal.
    static func duration(tenths duration: Duration) -> String {
        String(format: "%.1f s", duration.seconds)
    }

    /// Small errors in scientific form, the rest in a few digits.
    static func error(_ value: Double) -> String {
        if value == 0 { return "0" }
        return String(format: abs(value) < 1e-3 ? "%.2e" : "%.5f", value)
    }

    static func percent(_ share: Double) -> String { String(format: "%.1f %%", share * 100) }

    /// Rows in columns as wide as their widest cell; columns of numbers to the right.
    /// - Parameter marks: what stands before each row, all of one width.
    static func table(
        _ header: [String], _ rows: [[String]], rightAligned: Set<Int> = [], marks: [String] = []
    ) -> String {
        var widths = header.map(\.count)
        for row in rows { for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) } }
        func render(_ row: [String]) -> String {
            var line = ""
            for (column, cell) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                if column > 0 { line += "  " }
                line += rightAligned.contains(column) ? padding + cell : cell + padding
            }
            while line.last == " " { line.removeLast() }
            return line
        }
        let indent = String(repeating: " ", count: marks.first?.count ?? 0)
        let head = [header, widths.map { String(repeating: "-", count: $0) }].map { indent + render($0) }
        let body = rows.enumerated().map { index, row in (marks.isEmpty ? "" : marks[index]) + render(row) }
        return (head + body).joined(separator: "\n")
    }
}

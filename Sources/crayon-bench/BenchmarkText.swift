import CrayonKit
import Foundation

/// A report for a person to read.
enum BenchmarkText {
    static func render(_ report: BenchmarkReport) -> String {
        let machine = report.machine
        var blocks = [
            "\(machine.processor), \(machine.cores) cores, \(gigabytes(Double(machine.memoryBytes))) of memory, "
                + "last cache \(machine.cacheBytes >> 20) MiB; kernels \(machine.kernels), OpenBLAS \(machine.blas); "
                + String(format: "%d threads; load %.2f at the start, ", report.threads, machine.load)
                + String(format: "%.2f at the end", report.loadAtEnd),
            ceilings(report),
        ]
        let rows = report.results.map { line -> [String] in
            [
                line.name, line.subject, seconds(line.all.medianSeconds),
                "\(seconds(line.all.lowestSeconds)) to \(seconds(line.all.highestSeconds))", "\(line.all.runs)",
                rate(line.all.rate, line.unit), line.all.shareOfFloor.map(percent) ?? "",
                line.one.map { rate($0.rate, line.unit) } ?? "", line.one?.shareOfFloor.map(percent) ?? "",
                line.speedup.map { String(format: "%.2f", $0) } ?? "",
            ]
        }
        blocks.append(
            table(
                [
                    "benchmark", "of", "median", "spread", "runs", "rate", "of floor", "one thread", "of floor",
                    "speed-up",
                ], rows, rightAligned: Set(2...9)))
        return blocks.joined(separator: "\n\n")
    }

    static func list(_ benchmarks: [Benchmark]) -> String {
        table(["benchmark", "group", "what"], benchmarks.map { [$0.name, $0.group.rawValue, $0.summary] })
    }

    private static func ceilings(_ report: BenchmarkReport) -> String {
        func row(_ name: String, _ value: (Ceilings) -> String) -> [String] {
            [name] + report.measuredCeilings.map(value)
        }
        func both(_ one: Double, _ all: Double, _ unit: String) -> String {
            String(format: "%.1f, %.1f ", one / 1e9, all / 1e9) + unit
        }
        var rows = [
            row("memory read") { both($0.one.memoryRead, $0.all.memoryRead, "GB/s") },
            row("memory copy, read and written") { both($0.one.memoryCopy, $0.all.memoryCopy, "GB/s") },
            row("OpenBLAS sgemm") { both($0.one.products, $0.all.products, "GFLOP/s") },
        ]
        if report.measuredCeilings.contains(where: { $0.disk != nil }) {
            rows.append(
                row("disk read, written") { ceilings in
                    ceilings.disk.map { both($0.readRate, $0.writeRate, "GB/s") } ?? ""
                })
            rows.append(
                row("  of it still cached") { $0.disk.map { percent($0.cachedShare) } ?? "" })
        }
        let times = ["before", "after"].prefix(report.measuredCeilings.count)
        return table(
            ["ceiling: 1 thread, \(report.threads) threads"] + times, rows,
            rightAligned: [1, 2])
    }

    private static func seconds(_ value: Double) -> String {
        if value < 1e-3 { return String(format: "%.1f us", value * 1e6) }
        return value < 1 ? String(format: "%.2f ms", value * 1e3) : String(format: "%.2f s", value)
    }

    private static func rate(_ value: Double, _ unit: Benchmark.Unit) -> String {
        switch unit {
        case .bytes: String(format: "%.2f GB/s", value / 1e9)
        case .operations: String(format: "%.1f GFLOP/s", value / 1e9)
        case .parameters: String(format: "%.0f M/s", value / 1e6)
        case .tokens: String(format: "%.2f t/s", value)
        case .pictures: String(format: "%.3f /s", value)
        case .runs: ""
        }
    }

    private static func percent(_ share: Double) -> String { String(format: "%.1f %%", share * 100) }

    private static func gigabytes(_ bytes: Double) -> String { String(format: "%.1f GB", bytes / 1e9) }

    /// Rows in columns as wide as their widest cell; columns of numbers to the right.
    private static func table(_ header: [String], _ rows: [[String]], rightAligned: Set<Int> = []) -> String {
        let lines = [header] + rows
        let widths = header.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
        return ([header, widths.map { String(repeating: "-", count: $0) }] + rows).map { row in
            var line = row.enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                return rightAligned.contains(column) ? padding + cell : cell + padding
            }.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line
        }.joined(separator: "\n")
    }
}

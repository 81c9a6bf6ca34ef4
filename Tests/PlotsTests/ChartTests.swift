import Foundation
import Plots
import Testing

@Suite struct ChartTests {
    static let loss = Chart(
        title: "Loss", x: .init("step"), y: .init("cross-entropy"),
        series: [
            .line((0..<200).map { .init(Double($0), 3 / (1 + Double($0) / 20)) }, name: "training"),
            .line([.init(0, 3), .init(100, 0.7), .init(199, 0.4)], name: "evaluation", style: .dashedLine),
        ])

    /// Same value, same bytes, with no date in them.
    @Test func sameBytes() throws {
        let first = try Self.loss.svg()
        #expect(try Self.loss.svg() == first)
        #expect(try Self.loss.png() == Self.loss.png())
        let text = String(decoding: first, as: UTF8.self)
        #expect(text.hasPrefix("<?xml"))
        #expect(text.contains("</svg>"))
        #expect(!text.contains("surface1"))
        #expect(text.contains("width=\"800"))
    }

    @Test func pngHasItsSize() throws {
        let png = try Self.loss.png(scale: 1)
        #expect(png.prefix(8) == [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
        #expect(png[16..<24] == [0, 0, 3, 32, 0, 0, 1, 244])
        // A picture of nothing is smaller: something was drawn.
        #expect(try png.count > Chart(title: "", x: .init(""), y: .init("")).png(scale: 1).count + 2000)
    }

    /// Every way in which numbers can be strange, on both scales: drawn or left out, never a trap.
    @Test(arguments: [Chart.Axis.Scale.linear, .logarithmic])
    func strangeNumbers(scale: Chart.Axis.Scale) throws {
        let big = Double.greatestFiniteMagnitude
        let lists: [[Double]] = [
            [], [1], [0], [-1], [.nan], [.infinity, 1], [2, 2, 2], [0, 0], [.nan, 1, .nan, 2], [big, -big], [big],
            [.leastNonzeroMagnitude, 0], [0x1p-1060, 0x1p-1059], [1e16, 1e16 + 2], [-1e-300, 1e300], [1e-300, 1e300],
            [1, 1 + .ulpOfOne],
        ]
        for numbers in lists {
            for style in [Chart.Series.Style.line, .points, .faintLine] {
                var points = numbers.enumerated().map { Chart.Point(Double($0), $1, label: "p\($0)") }
                points += numbers.map { Chart.Point($0, 1) }
                let chart = Chart(
                    title: "\(numbers)", x: .init("x", scale: scale), y: .init("y", scale: scale),
                    series: [.init(name: "s", points: points, style: style, color: -3)])
                #expect(try !chart.svg().isEmpty)
                #expect(try !chart.png(scale: 1).isEmpty)
            }
        }
    }

    @Test func strangeSettings() throws {
        var chart = Chart(
            title: "a\u{0}b \u{7} \u{1F409} é", x: .init("", range: 5...5),
            y: .init("", scale: .logarithmic, range: -1...1), series: [.line([.init(5, 1)])])
        for (width, height) in [(0, 0), (-5, 1), (.max, 100)] {
            chart.width = width
            chart.height = height
            #expect(try !chart.png(scale: .nan).isEmpty)
        }
    }

    /// Ten times the points do not make ten times the file.
    @Test func longLinesAreThinned() throws {
        func size(_ count: Int) throws -> Int {
            let points = (0..<count).map { Chart.Point(Double($0), sin(Double($0) * 0.7)) }
            return try Chart(title: "", x: .init(""), y: .init(""), series: [.line(points)]).svg().count
        }
        #expect(try size(400_000) < 200_000)
    }

    @Test func ticks() {
        func labels(_ range: ClosedRange<Double>, _ scale: Chart.Axis.Scale = .linear, count: Int = 6) -> [String] {
            Chart.Axis("", scale: scale, range: range).ticks(count: count).map(\.label)
        }
        #expect(labels(0...1) == ["0", "0.2", "0.4", "0.6", "0.8", "1.0"])
        #expect(labels(0...100, count: 5) == ["0", "20", "40", "60", "80", "100"])
        #expect(labels(-2...3, count: 5) == ["-2", "-1", "0", "1", "2", "3"])
        #expect(labels(0...0.0001, count: 2) == ["0", "5e-5", "1e-4"])
        #expect(labels(0...4_000_000, count: 4) == ["0", "1e6", "2e6", "3e6", "4e6"])
        #expect(labels(1e-6...1e-4, .logarithmic) == ["1e-6", "2e-6", "5e-6", "1e-5", "2e-5", "5e-5", "1e-4"])
        #expect(labels(0.001...1000, .logarithmic) == ["0.001", "0.01", "0.1", "1", "10", "100", "1000"])
        #expect(labels(3.1...3.4, .logarithmic, count: 3) == ["3.1", "3.2", "3.3", "3.4"])
    }
}

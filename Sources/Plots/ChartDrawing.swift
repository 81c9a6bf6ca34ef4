/// A chart laid out on a canvas: title above, axes left and below, legend below the title.
struct ChartDrawing {
    private static let titleSize = 15.0
    private static let labelSize = 12.0
    private static let tickSize = 11.0

    private let chart: Chart
    private let canvas: Canvas
    private let x: AxisScale
    private let y: AxisScale
    private let left: Double
    private let right: Double
    private let top: Double
    private let bottom: Double
    private let width: Double

    init(_ chart: Chart, on canvas: Canvas) {
        self.chart = chart
        self.canvas = canvas
        let size = chart.drawnSize
        width = Double(size.width)
        let points = chart.series.lazy.flatMap(\.points)
        x = AxisScale(chart.x, values: points.map(\.x), count: max(2, size.width / 90))
        y = AxisScale(chart.y, values: points.map(\.y), count: max(2, size.height / 60))
        let tickWidth = y.ticks.map { canvas.textWidth($0.label, size: Self.tickSize) }.max() ?? 0
        let lines = Self.legendLines(chart, on: canvas, width: width)
        left = (chart.y.label.isEmpty ? 12 : 34) + tickWidth
        right = width - 24
        top = (chart.title.isEmpty ? 16 : 40) + 18 * Double(lines.count)
        bottom = Double(size.height) - (chart.x.label.isEmpty ? 30 : 50)
    }

    func draw() {
        canvas.fill(.white)
        drawAxes()
        for (index, series) in chart.series.enumerated() {
            let color = Self.color(of: series, at: index)
            if series.style == .points {
                drawPoints(series, color)
            } else {
                drawLine(series, color)
            }
        }
        drawLabels()
        drawLegend()
    }

    private func place(_ point: Chart.Point) -> (x: Double, y: Double)? {
        guard let across = x.fraction(point.x), let up = y.fraction(point.y) else { return nil }
        return (left + (right - left) * across, bottom - (bottom - top) * up)
    }

    private static func color(of series: Chart.Series, at index: Int) -> Canvas.Color {
        let count = Canvas.Color.series.count
        let chosen = (series.color ?? index) % count
        return Canvas.Color.series[chosen < 0 ? chosen + count : chosen]
    }
}

extension ChartDrawing {
    private func drawAxes() {
        for tick in x.ticks {
            guard let across = x.fraction(tick.value) else { continue }
            let at = left + (right - left) * across
            canvas.line([(at, top), (at, bottom)], width: 1, .grid)
            canvas.text(tick.label, x: at, y: bottom + 17, size: Self.tickSize, alignment: .center, .ink)
        }
        for tick in y.ticks {
            guard let up = y.fraction(tick.value) else { continue }
            let at = bottom - (bottom - top) * up
            canvas.line([(left, at), (right, at)], width: 1, .grid)
            canvas.text(tick.label, x: left - 7, y: at + 4, size: Self.tickSize, alignment: .right, .ink)
        }
        canvas.line([(left, top), (left, bottom), (right, bottom)], width: 1, .ink)
        let middle = (left + right) / 2
        canvas.text(chart.title, x: middle, y: 26, size: Self.titleSize, alignment: .center, .ink)
        canvas.text(
            chart.x.label, x: middle, y: bottom + 39, size: Self.labelSize, alignment: .center, .ink)
        canvas.text(
            chart.y.label, x: 18, y: (top + bottom) / 2, size: Self.labelSize, alignment: .center, isUpright: true, .ink
        )
    }

    private func drawLine(_ series: Chart.Series, _ color: Canvas.Color) {
        var pale = color
        if series.style == .faintLine { pale.alpha = 0.35 }
        let width = series.style == .faintLine ? 1.0 : 1.8
        let dash = series.style == .dashedLine ? [6.0, 5.0] : []
        for run in series.points.map(place).split(whereSeparator: { $0 == nil }) {
            canvas.line(Self.thinned(run.compactMap(\.self)), width: width, dash: dash, pale)
        }
    }

    private func drawPoints(_ series: Chart.Series, _ color: Canvas.Color) {
        var veiled = color
        veiled.alpha = 0.8
        for point in series.points {
            if let at = place(point) { canvas.disc(x: at.x, y: at.y, radius: 3.5, veiled) }
        }
    }

    /// Where many points share a column of pixels, its first, least, largest and last: the picture stays, the file shrinks.
    private static func thinned(_ points: [(x: Double, y: Double)]) -> [(x: Double, y: Double)] {
        guard points.count > 4000 else { return points }
        var kept: [(x: Double, y: Double)] = []
        var start = 0
        while start < points.count {
            let column = points[start].x.rounded(.down)
            var end = start + 1
            while end < points.count, points[end].x.rounded(.down) == column { end += 1 }
            let indices = start..<end
            let low = indices.min { points[$0].y < points[$1].y } ?? start
            let high = indices.max { points[$0].y < points[$1].y } ?? start
            for index in Set([start, low, high, end - 1]).sorted() { kept.append(points[index]) }
            start = end
        }
        return kept
    }
}

extension ChartDrawing {
    /// Beside its point where neither a point nor a label lies; a label without such a place is left out.
    private func drawLabels() {
        var taken = chart.series.filter { $0.style == .points }.flatMap(\.points).compactMap(place).map {
            Box(left: $0.x - 3, top: $0.y - 3, right: $0.x + 3, bottom: $0.y + 3)
        }
        let size = 9.0
        for point in chart.series.flatMap(\.points) {
            guard let label = point.label, let at = place(point) else { continue }
            let width = canvas.textWidth(label, size: size)
            let places = [
                (at.x + 6, at.y + 3), (at.x - 6 - width, at.y + 3), (at.x - width / 2, at.y - 6),
                (at.x - width / 2, at.y + 13), (at.x + 4, at.y - 5), (at.x - 4 - width, at.y - 5),
            ]
            for (x, y) in places {
                let box = Box(left: x, top: y - size + 1, right: x + width, bottom: y + 2)
                guard box.left >= left, box.right <= self.width, box.top >= top - 12, box.bottom <= bottom,
                    !taken.contains(where: box.overlaps)
                else { continue }
                canvas.text(label, x: x, y: y, size: size, .ink)
                taken.append(box)
                break
            }
        }
    }

    private struct Box {
        let left, top, right, bottom: Double

        func overlaps(_ other: Box) -> Bool {
            left < other.right && other.left < right && top < other.bottom && other.top < bottom
        }
    }

    /// Indices of named series with their widths, as many to a line as fit.
    private static func legendLines(_ chart: Chart, on canvas: Canvas, width: Double) -> [[(Int, Double)]] {
        var lines: [[(Int, Double)]] = []
        var used = Double.infinity
        for (index, series) in chart.series.enumerated() {
            guard let name = series.name else { continue }
            let needed = 26 + canvas.textWidth(name, size: tickSize) + 18
            if used + needed > width - 40 {
                lines.append([])
                used = 0
            }
            lines[lines.count - 1].append((index, needed))
            used += needed
        }
        return lines
    }

    private func drawLegend() {
        for (row, line) in Self.legendLines(chart, on: canvas, width: width).enumerated() {
            let y = (chart.title.isEmpty ? 14 : 38) + 18 * Double(row) + 6
            var x = (left + right - line.reduce(0) { $0 + $1.1 }) / 2
            for (index, needed) in line {
                let series = chart.series[index]
                var color = Self.color(of: series, at: index)
                if series.style == .points {
                    canvas.disc(x: x + 10, y: y - 4, radius: 3.5, color)
                } else {
                    if series.style == .faintLine { color.alpha = 0.35 }
                    let dash = series.style == .dashedLine ? [6.0, 5.0] : []
                    canvas.line([(x, y - 4), (x + 20, y - 4)], width: 2, dash: dash, color)
                }
                canvas.text(series.name ?? "", x: x + 26, y: y, size: Self.tickSize, .ink)
                x += needed
            }
        }
    }
}

public import Plots

extension ObjectScores {
    /// B2C against C2B, a point for each class of which both were asked, as in the paper; models in their order.
    ///
    /// Both in percent. Classes are named where there is one model: with more the points of one class lie close together.
    public static func chart(_ scores: [ObjectScores]) -> Chart {
        let lowest = scores.flatMap(\.classes).flatMap { [$0.c2b, $0.b2c].compactMap(\.self) }.min() ?? 0
        // A little room, so that points at either end are whole.
        let range = max(-2, (lowest * 10 - 1).rounded(.down) * 10)...102
        var chart = Chart(
            title: "Object-level understanding, by class", x: Chart.Axis("Class2Binary, %", range: range),
            y: Chart.Axis("Box2Class, %", range: range))
        chart.width = 640
        chart.height = 600
        for model in scores {
            let points = model.classes.compactMap { entry -> Chart.Point? in
                guard let c2b = entry.c2b, let b2c = entry.b2c else { return nil }
                return Chart.Point(c2b * 100, b2c * 100, label: scores.count == 1 ? entry.name : nil)
            }
            chart.series.append(.points(points, name: model.model))
        }
        return chart
    }
}

import Bytes
import JSON
import Plots

/// The losses of a run, for its plot.
struct LossCurve {
    private var losses: [Chart.Point] = []
    private var smooth: [Chart.Point] = []
    private var evaluations: [Chart.Point] = []
    private var mean = 0.0
    private var weight = 0.0
    /// What of the smooth curve comes from before an update.
    private static let memory = 0.95

    mutating func add(update: Int, loss: Double) {
        guard loss.isFinite else { return }
        mean = Self.memory * mean + (1 - Self.memory) * loss
        weight = Self.memory * weight + (1 - Self.memory)
        losses.append(.init(Double(update), loss))
        // Unbiased: the first value is the first loss.
        smooth.append(.init(Double(update), mean / weight))
    }

    mutating func add(update: Int, evaluation loss: Double) { evaluations.append(.init(Double(update), loss)) }

    /// A line of the run's log.
    mutating func add(_ line: JSONReader) {
        guard let update = try? line.int("update") else { return }
        if let loss = try? line.optionalDouble("loss") { add(update: update, loss: loss) }
        if let loss = try? line.optionalObject("evaluation")?.optionalDouble("loss") {
            add(update: update, evaluation: loss)
        }
    }

    func chart(stage: String) -> Chart {
        var series: [Chart.Series] = [
            .line(losses, name: "loss", style: .faintLine, color: 0), .line(smooth, name: "smoothed", color: 0),
        ]
        if !evaluations.isEmpty {
            series.append(.line(evaluations, name: "evaluation", style: .dashedLine, color: 1))
        }
        return Chart(title: stage, x: .init("update"), y: .init("cross-entropy (nats)"), series: series)
    }

    func write(stage: String, in folder: String) throws(CrayonError) {
        let chart = chart(stage: stage)
        try AtomicFile.write(try chart.svg(), to: "\(folder)/loss.svg")
        try AtomicFile.write(try chart.png(), to: "\(folder)/loss.png")
    }
}

import CrayonKit
import Foundation
import Synchronization

/// Shows a job's progress on standard error: one line that redraws itself on a terminal, now and then a
/// plain line elsewhere, nothing when told to be quiet.
///
/// One job may have several stages, each with a `done` and `total` of its own.
final class ProgressDisplay: Sendable {
    enum Style: Sendable {
        case bar
        case lines
        case silent
    }

    /// What `done` and `total` count.
    enum Unit: Sendable {
        case bytes
        case items
    }

    private struct State {
        var lastDrawn: ContinuousClock.Instant?
        var drawnWidth = 0
        var stageStart = ContinuousClock.now
        /// Total and unit, by which a stage is told from the one before.
        var stage: (total: Int, unit: Unit)?

        /// How long the present stage has taken: rates and what is left are its own.
        mutating func elapsed(at now: ContinuousClock.Instant, total: Int, unit: Unit) -> Duration {
            if let stage, stage != (total, unit) { stageStart = now }
            stage = (total, unit)
            return now - stageStart
        }
    }

    private let style: Style
    private let start = ContinuousClock.now
    private let state = Mutex(State())

    init(quiet: Bool) {
        style = quiet ? .silent : (isatty(STDERR_FILENO) == 1 ? .bar : .lines)
    }

    /// Safe to call from any thread, as often as one likes: it draws at most ten times a second.
    func update(label: String, done: Int, total: Int, unit: Unit = .bytes) {
        guard style != .silent, total > 0 else { return }
        state.withLock { state in
            let now = ContinuousClock.now
            let elapsed = state.elapsed(at: now, total: total, unit: unit)
            let isLast = done >= total
            switch style {
            case .bar:
                if !isLast, let last = state.lastDrawn, now - last < .milliseconds(100) { return }
                state.lastDrawn = now
                let line = Self.line(
                    label: label, done: done, total: total, unit: unit, elapsed: elapsed, bar: true)
                let padding = String(repeating: " ", count: max(0, state.drawnWidth - line.count))
                state.drawnWidth = line.count
                Output.note("\r\(line)\(padding)", terminator: "")
            case .lines:
                // A log wants a sign of life, not a film: nothing for what is done at once.
                guard now - (state.lastDrawn ?? start) >= .seconds(5) || (isLast && state.lastDrawn != nil) else {
                    return
                }
                state.lastDrawn = isLast ? nil : now
                let line = Self.line(
                    label: label, done: done, total: total, unit: unit, elapsed: elapsed, bar: false)
                Output.note(line)
            case .silent: break
            }
        }
    }

    /// Ends the redrawn line, so that what is printed next starts on one of its own.
    func finish() {
        state.withLock { state in
            if style == .bar, state.drawnWidth > 0 { Output.note("") }
            state.drawnWidth = 0
        }
    }

    static func line(
        label: String, done: Int, total: Int, unit: Unit, elapsed: Duration, bar: Bool
    ) -> String {
        let share = min(1, Double(done) / Double(total))
        let seconds = elapsed.seconds
        let rate = seconds > 0 ? Double(done) / seconds : 0
        let left = rate > 0 ? Double(total - done) / rate : .infinity
        let filled = Int(share * 24)
        let drawing =
            bar ? "[" + String(repeating: "#", count: filled) + String(repeating: "-", count: 24 - filled) + "] " : ""
        let amount =
            switch unit {
            case .bytes: "\(Format.bytes(done)) of \(Format.bytes(total))  \(Format.bytes(Int(rate)))/s"
            case .items: "\(done) of \(total)"
            }
        if unit == .items, total == 1 { return drawing + label }
        // A name of bounded width keeps the line from wrapping on 100 columns.
        let name = label.count > 36 ? "…" + label.suffix(35) : label
        return drawing + String(format: "%3d %%  ", Int(share * 100))
            + "\(amount)  \(Format.duration(left)) left  \(name)"
    }
}

import CrayonKit

/// A run as lines on standard error: one that is overwritten on a terminal, else one now and then.
final class TrainingDisplay {
    private let isQuiet: Bool
    private let bar: ProgressDisplay
    /// Of the last update.
    private(set) var loss: Double?

    init(quiet: Bool) {
        isQuiet = quiet
        bar = ProgressDisplay(quiet: quiet)
    }

    func show(_ event: TrainingEvent) {
        switch event {
        case .began(let update, let updates):
            if update > 0 { say("going on after update \(update) of \(updates)") }
        case .updated(let progress):
            loss = progress.loss ?? loss
            let text =
                "loss \(progress.loss.map(Format.error) ?? "-") rate \(Format.error(progress.rate)) "
                + "\(Int(progress.positionsPerSecond.rounded())) tokens/s"
            bar.update(label: text, done: progress.update, total: progress.updates, unit: .items)
        case .skipped(let update, let reason): say("update \(update) skipped: \(reason)")
        case .evaluated(let update, let values): say("update \(update): \(JSONValue.object(values).text())")
        case .wroteCheckpoint: break
        case .warning(let text): Output.warn(text)
        }
    }

    func finish() { bar.finish() }

    private func say(_ text: String) {
        guard !isQuiet else { return }
        bar.finish()
        Output.note(text)
    }
}

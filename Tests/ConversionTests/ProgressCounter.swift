import Conversion
import Synchronization

/// Keeps the furthest progress that was reported.
final class ProgressCounter: Sendable {
    private let state = Mutex(0)

    func add(_ progress: ExportProgress) { state.withLock { $0 = max($0, progress.doneBytes) } }

    var largest: Int { state.withLock { $0 } }
}

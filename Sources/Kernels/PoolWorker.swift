import Foundation

/// A thread of a pool.
final class PoolWorker: @unchecked Sendable {
    // @unchecked: `thread` is set before anybody else has the worker.
    let sleeper = Sleeper()
    private let index: Int
    private let state: PoolState
    private var thread = pthread_t()

    /// - Returns: nil where the system has no thread to give.
    init?(index: Int, state: PoolState) {
        self.index = index
        self.state = state
        // Signals are for the threads that the program made itself, but for those that a thread causes: blocked, such a
        // one kills without its handler.
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        for fault in [SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP] { sigdelset(&all, fault) }
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        let kept = Unmanaged.passRetained(self)
        let status = pthread_create(&thread, nil, PoolWorker.main, kept.toOpaque())
        guard status == 0 else {
            kept.release()
            return nil
        }
    }

    func join() { pthread_join(thread, nil) }

    #if canImport(Glibc)
        private static let main: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { pointer in
            if let pointer { run(pointer) }
            return nil
        }
    #else
        private static let main: @convention(c) (UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? = { pointer in
            run(pointer)
            return nil
        }
    #endif

    private static func run(_ pointer: UnsafeMutableRawPointer) {
        let worker = Unmanaged<PoolWorker>.fromOpaque(pointer).takeRetainedValue()
        worker.state.work(worker.index, worker.sleeper)
    }
}

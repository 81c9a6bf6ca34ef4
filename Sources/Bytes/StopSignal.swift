import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Being told to end (SIGINT, SIGTERM, SIGHUP, SIGUSR1), for a job that wants to end well: the first signal is noted, the job looks
/// for it where it can stop, and a second one ends the process at once.
///
/// SIGUSR1 is there for jobs under mpirun, which hands it on without setting a time limit.
public enum StopSignal {
    private static let isWatching = Atomic<Bool>(false)
    private static let noted = Atomic<Int32>(0)
    /// What the handler writes to standard error, made beforehand: a handler may not allocate.
    nonisolated(unsafe) private static var notice: (text: UnsafeMutablePointer<CChar>, count: Int)?

    /// From now on the first signal is noted.
    /// - Parameter notice: what is written to standard error when it comes.
    public static func watch(notice text: String = "") {
        Interruption.install()
        noted.store(0, ordering: .relaxed)
        if let copy = strdup(text) { notice = (copy, strlen(copy)) }
        signal(SIGUSR1) { _ = StopSignal.note($0) }
        isWatching.store(true, ordering: .sequentiallyConsistent)
    }

    /// Signals end the process again.
    public static func ignore() {
        isWatching.store(false, ordering: .sequentiallyConsistent)
        signal(SIGUSR1, SIG_DFL)
    }

    /// The signal that came; nil for none.
    public static var received: Int32? {
        let number = noted.load(ordering: .relaxed)
        return number == 0 ? nil : number
    }

    /// Ends the process by a signal, so that a shell sees why.
    public static func die(of number: Int32) -> Never {
        signal(number, SIG_DFL)
        raise(number)
        exit(128 + number)
    }

    /// For the handler: true where the signal has been dealt with.
    static func note(_ number: Int32) -> Bool {
        guard isWatching.load(ordering: .sequentiallyConsistent),
            noted.compareExchange(expected: 0, desired: number, ordering: .sequentiallyConsistent).exchanged
        else { return false }
        if let notice { write(STDERR_FILENO, notice.text, notice.count) }
        return true
    }

    /// Makes what the handler reads, so that it is not made in the handler.
    static func prepare() { _ = (isWatching.load(ordering: .relaxed), noted.load(ordering: .relaxed), notice) }
}

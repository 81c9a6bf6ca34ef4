import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Takes temporary files away when the process is told to end (SIGINT, SIGTERM, SIGHUP).
///
/// A signal handler may only call async-signal-safe functions, so the paths sit in a fixed table of C
/// strings that the handler walks with `unlink`, and with `rmdir` for folders that a job has made.
enum Interruption {
    private static let capacity = 4096
    /// Slots are set and cleared by one atomic store each; a handler sees a whole path or none.
    nonisolated(unsafe) private static let slots: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> = {
        let slots = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: capacity)
        slots.initialize(repeating: nil, count: capacity)
        return slots
    }()
    private static let table = Mutex<[String: Int]>([:])
    /// Whether the process is about to end, after which nothing more is made, and how many threads are making something.
    private static let isEnding = Atomic<Bool>(false)
    private static let makers = Atomic<Int>(0)
    private static let signals: [Int32] = [SIGINT, SIGTERM, SIGHUP]
    private static let installed: Void = {
        _ = slots
        StopSignal.prepare()
        for signal in signals {
            var action = sigaction()
            sigaction(signal, nil, &action)
            // Someone who ignores the signal (nohup) keeps ignoring it.
            let current = unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
            if current == unsafeBitCast(SIG_IGN, to: Int.self) { continue }
            var ours = sigaction()
            ours.__sigaction_handler.sa_handler = { number in
                if StopSignal.note(number) { return }
                Interruption.removeFiles()
                // Die of the signal itself, so that a shell sees why.
                Glibc.signal(number, SIG_DFL)
                raise(number)
            }
            // A signal that is only noted must not make a read or a write fail.
            ours.sa_flags = SA_RESTART
            sigaction(signal, &ours, nil)
        }
    }()

    /// Has signals handled here from now on.
    static func install() { _ = installed }

    /// Makes what the handlers read, so that it is not made in a handler.
    static func prepare() { _ = (slots, isEnding.load(ordering: .relaxed), makers.load(ordering: .relaxed)) }

    /// Takes away what is in the table, and lets nothing more be made: the process is about to end. Async-signal-safe.
    static func removeFiles() {
        isEnding.store(true, ordering: .sequentiallyConsistent)
        // Other threads may be making something, for a moment; a disk that hangs is not waited for.
        var patience = 1000
        while makers.load(ordering: .sequentiallyConsistent) > 0, patience > 0 {
            usleep(1000)
            patience -= 1
        }
        for index in 0..<capacity {
            if let path = slots[index] { unlink(path) }
        }
        // Files first; then folders as far as nothing else is in them. A slot may have been another's before, so that an outer
        // folder can come before an inner one: once more for each level.
        for _ in 0..<folderDepth {
            for index in (0..<capacity).reversed() {
                if let path = slots[index] { rmdir(path) }
            }
        }
    }

    /// Folders within each other that a job makes at most.
    private static let folderDepth = 4

    /// Makes a file or folder that a signal takes away again, from before it is there.
    ///
    /// No signal comes to this thread meanwhile, and a handler on another one waits for it: so nothing appears behind a
    /// handler's back.
    static func making<Result>(_ path: String, _ make: () -> Result) -> Result {
        _ = installed
        var (ours, before) = (sigset_t(), sigset_t())
        sigemptyset(&ours)
        for signal in signals { sigaddset(&ours, signal) }
        pthread_sigmask(SIG_BLOCK, &ours, &before)
        makers.add(1, ordering: .sequentiallyConsistent)
        if isEnding.load(ordering: .sequentiallyConsistent) {
            makers.subtract(1, ordering: .sequentiallyConsistent)
            while true { pause() }
        }
        add(path)
        let result = make()
        makers.subtract(1, ordering: .sequentiallyConsistent)
        pthread_sigmask(SIG_SETMASK, &before, nil)
        return result
    }

    private static func add(_ path: String) {
        table.withLock { table in
            guard let free = (0..<capacity).first(where: { slots[$0] == nil }) else { return }
            slots[free] = strdup(path)
            table[path] = free
        }
    }

    static func forget(_ path: String) {
        table.withLock { table in
            guard let index = table.removeValue(forKey: path) else { return }
            let old = slots[index]
            slots[index] = nil
            free(old)
        }
    }
}

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
    private static let capacity = 64
    /// Slots are set and cleared by one atomic store each; a handler sees a whole path or none.
    nonisolated(unsafe) private static let slots: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> = {
        let slots = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: capacity)
        slots.initialize(repeating: nil, count: capacity)
        return slots
    }()
    private static let table = Mutex<[String: Int]>([:])
    private static let installed: Void = {
        _ = slots
        StopSignal.prepare()
        for signal in [SIGINT, SIGTERM, SIGHUP] {
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
    static func prepare() { _ = slots }

    /// Takes away what is in the table. Async-signal-safe.
    static func removeFiles() {
        for index in 0..<capacity {
            if let path = slots[index] { unlink(path) }
        }
        // Files first; then folders, inner ones before those around them, as far as nothing else is in them.
        for index in (0..<capacity).reversed() {
            if let path = slots[index] { rmdir(path) }
        }
    }

    /// Has a file taken away that is there, or is about to be.
    static func unlinkOnSignal(_ path: String) {
        _ = installed
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

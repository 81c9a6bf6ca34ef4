import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Reading a mapped page that cannot be had (SIGBUS): the file became shorter meanwhile, or its disk gave an error.
///
/// By itself that kills a program without a word, and there is no way back into the code that was reading. A program
/// that handles it ends with an error that names the file, and its temporary files go. Any other SIGBUS has the effect
/// that it had before.
public enum MappingFault {
    /// The exit code: could not run.
    private static let exitCode: Int32 = 2
    /// `si_code` of an address that has nothing behind it, on Linux.
    private static let noSuchAddress: Int32 = 2
    /// What the signal did before.
    nonisolated(unsafe) private static let previous = UnsafeMutablePointer<sigaction>.allocate(capacity: 1)
    private static let isReported = Atomic<Bool>(false)
    private static let installed: Void = {
        MappedRanges.prepare()
        Interruption.prepare()
        _ = isReported.load(ordering: .relaxed)
        previous.initialize(to: sigaction())
        var ours = sigaction()
        ours.__sigaction_handler.sa_sigaction = { _, info, _ in MappingFault.handle(info) }
        // On the thread's own stack for signals, where it has one; without SA_NODEFER a second fault kills.
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK
        sigaction(SIGBUS, &ours, previous)
    }()

    /// From now on a fault of a mapped file ends the process with exit code 2 and a line on standard error. For programs, not
    /// for libraries: the signal is the whole process's.
    public static func endsProcess() { _ = installed }

    /// Async-signal-safe all through: no allocation, no locks, no Swift runtime but for what is made beforehand.
    private static func handle(_ info: UnsafeMutablePointer<siginfo_t>?) {
        guard let info, info.pointee.si_code == noSuchAddress,
            let mapping = MappedRanges.find(UInt(bitPattern: info.pointee._sifields._sigfault.si_addr))
        else {
            // Back to the code that faulted, which faults again and finds what was there before us.
            sigaction(SIGBUS, previous, nil)
            if let info, info.pointee.si_code <= 0 { raise(SIGBUS) }
            return
        }
        // Of several threads the first one speaks.
        if isReported.exchange(true, ordering: .sequentiallyConsistent) { while true { pause() } }
        say("error: ")
        if let path = mapping.path { write(STDERR_FILENO, path, strlen(path)) } else { say("a mapped file") }
        var status = stat()
        if fstat(mapping.descriptor, &status) == 0, Int(status.st_size) < mapping.count {
            say(": the file became shorter while it was in use. Run again when it is whole.\n")
        } else {
            say(": a part of the file could not be read while it was in use. Check its disk, or take a copy of it.\n")
        }
        Interruption.removeFiles()
        _exit(exitCode)
    }

    private static func say(_ text: StaticString) { write(STDERR_FILENO, text.utf8Start, text.utf8CodeUnitCount) }

    /// The same where the operating system reads the page for us: it says EFAULT then, and no signal comes.
    /// - Returns: nil for memory that is no mapped file's.
    static func error(readingAt address: UnsafeRawPointer) -> CrayonError? {
        guard let path = MappedRanges.find(UInt(bitPattern: address))?.path else { return nil }
        return CrayonError(
            .io, in: String(cString: path), found: "the file became shorter, or could not be read, while it was in use",
            advice: "Run again when it is whole.")
    }
}

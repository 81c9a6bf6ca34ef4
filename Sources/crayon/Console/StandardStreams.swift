import Foundation

/// Standard input, output and error, and the signals that writing causes.
enum StandardStreams {
    /// To be called before any file is opened.
    static func prepare() {
        // One that is closed would be the next file to be opened, an output's perhaps, with messages written into it.
        for (descriptor, mode) in [(STDIN_FILENO, O_RDONLY), (STDOUT_FILENO, O_RDONLY), (STDERR_FILENO, O_WRONLY)]
        where fcntl(descriptor, F_GETFD) < 0 {
            // The lowest free one is that. Results have to reach somebody: writing them will fail, and say so.
            _ = open("/dev/null", mode)
        }
        // A write that fails says why; the signal would end the process with its temporary files left.
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
    }
}

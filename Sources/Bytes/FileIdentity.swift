#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What tells one state of a file from another without reading it: its size and when it last changed.
public struct FileIdentity: Equatable, Sendable, CustomStringConvertible {
    private let size: Int
    private let seconds: Int
    private let nanoseconds: Int

    init(_ status: stat) {
        size = Int(status.st_size)
        #if canImport(Glibc)
            seconds = status.st_mtim.tv_sec
            nanoseconds = status.st_mtim.tv_nsec
        #else
            seconds = status.st_mtimespec.tv_sec
            nanoseconds = status.st_mtimespec.tv_nsec
        #endif
    }

    /// Of a file that may be absent: then it differs from every one that is there.
    public init(path: String) {
        var status = stat()
        if stat(path, &status) != 0 { status.st_size = -1 }
        self.init(status)
    }

    public var description: String { "\(size) bytes, changed \(seconds).\(nanoseconds)" }
}

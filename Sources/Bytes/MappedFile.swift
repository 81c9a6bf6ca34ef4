#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A whole file mapped read-only.
///
/// A file that shrinks while it is mapped faults on access, which ends a program as `MappingFault` says. Readers that
/// hold a file for long check `checkUnchanged()` too: bytes that change in place do not fault.
public final class MappedFile: Sendable {
    public let path: String
    private let descriptor: Int32
    private let address: UInt
    private let identity: FileIdentity
    private let range: MappedRanges.Handle?
    public let count: Int

    /// - Throws: `CrayonError` when `path` is no regular file or cannot be opened or mapped.
    public init(path: String) throws(CrayonError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system(errno, in: path, while: "opening the file") }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let code = errno
            close(descriptor)
            throw .system(code, in: path, while: "reading the file's size")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw CrayonError(.io, in: path, found: "not a regular file", expected: "a file")
        }
        let count = Int(status.st_size)
        var address: UInt = 0
        if count > 0 {
            guard let mapped = mmap(nil, count, PROT_READ, MAP_SHARED, descriptor, 0), mapped != MAP_FAILED else {
                let code = errno
                close(descriptor)
                throw .system(code, in: path, while: "mapping \(count) bytes")
            }
            address = UInt(bitPattern: mapped)
        }
        self.path = path
        self.descriptor = descriptor
        self.address = address
        self.count = count
        self.identity = FileIdentity(status)
        range = count > 0 ? MappedRanges.add(start: address, count: count, descriptor: descriptor, path: path) : nil
    }

    deinit {
        if let range { MappedRanges.remove(range) }
        if count > 0 { munmap(UnsafeMutableRawPointer(bitPattern: address), count) }
        close(descriptor)
    }

    public var whole: ByteRegion { region(offset: 0, count: count) }

    /// - Precondition: `offset` and `count` lie inside the file.
    public func region(offset: Int, count: Int) -> ByteRegion {
        precondition(offset >= 0 && count >= 0 && offset <= self.count && count <= self.count - offset)
        let start = self.count == 0 ? nil : UnsafeRawPointer(bitPattern: address)?.advanced(by: offset)
        return ByteRegion(owner: self, buffer: UnsafeRawBufferPointer(start: start, count: count))
    }

    /// Asks the kernel to read a range ahead of use.
    public func willNeed(offset: Int, count: Int) { advise(offset, count, MADV_WILLNEED, growing: true) }

    /// Tells the kernel that a range has been used, so that streaming over a file larger than memory
    /// does not push out what others need.
    public func dontNeed(offset: Int, count: Int) { advise(offset, count, MADV_DONTNEED, growing: false) }

    /// Whether size and modification time are still those seen at open.
    private func isUnchanged() -> Bool {
        var status = stat()
        return fstat(descriptor, &status) == 0 && FileIdentity(status) == identity
    }

    /// - Throws: `CrayonError` when the file has changed since it was opened.
    public func checkUnchanged() throws(CrayonError) {
        guard isUnchanged() else { throw Self.hasChanged(path) }
    }

    /// What is said of a file that somebody has changed since it was opened.
    public static func hasChanged(_ path: String) -> CrayonError {
        CrayonError(
            .mismatch, in: path, found: "the file changed while it was being read",
            advice: "Run again when whatever writes it is done.")
    }

    private func advise(_ offset: Int, _ count: Int, _ advice: Int32, growing: Bool) {
        guard count > 0, offset >= 0, offset < self.count else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let end = min(offset + count, self.count)
        // `dontNeed` must not drop a page that a neighbour still uses; `willNeed` may touch one.
        let first = growing ? offset / page * page : (offset + page - 1) / page * page
        let last = growing ? end : (end == self.count ? end : end / page * page)
        guard last > first else { return }
        madvise(UnsafeMutableRawPointer(bitPattern: address + UInt(first)), last - first, advice)
    }
}

extension CrayonError {
    /// An operating system's refusal, with its own words for the reason.
    public static func system(_ code: Int32, in place: String, while action: String) -> CrayonError {
        let advice: String? =
            switch code {
            case ENOSPC, EDQUOT: "Free some space or choose another folder for the output."
            case EFBIG: "No file may be so large here: see 'ulimit -f', or choose another file system."
            case EACCES, EPERM, EROFS: "Check the permissions."
            case ENOENT: "Check the path."
            default: nil
            }
        return CrayonError(
            code == ENOENT ? .missing : .io, in: place, found: "\(String(cString: strerror(code))) while \(action)",
            advice: advice)
    }
}

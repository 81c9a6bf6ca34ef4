#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A file that may have changed, become shorter, or lie on a disk that gives errors: whatever can be read of it is, the
/// rest comes as zeros. For those who check what they get.
public final class DamagedFile: Sendable {
    public let path: String
    /// Bytes of the file when it was opened.
    public let count: Int
    private let descriptor: Int32

    /// - Throws: `CrayonError` when `path` is no regular file or cannot be opened.
    public init(path: String) throws(CrayonError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system(errno, in: path, while: "opening the file") }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw CrayonError(.io, in: path, found: "not a regular file", expected: "a file")
        }
        self.path = path
        self.descriptor = descriptor
        count = Int(status.st_size)
    }

    deinit { close(descriptor) }

    /// Fills `bytes` from `offset` on.
    public func read(into bytes: UnsafeMutableRawBufferPointer, at offset: Int) {
        var done = 0
        while done < bytes.count {
            let got = pread(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
            if got < 0, errno == EINTR { continue }
            if got > 0 {
                done += got
                continue
            }
            // Past the end there is nothing more; a block that the disk cannot read is stepped over.
            let left = bytes.count - done
            let skipped = got == 0 ? left : min(Self.block - (offset + done) % Self.block, left)
            memset(bytes.baseAddress! + done, 0, skipped)
            done += skipped
        }
    }

    /// Bytes of the file from `offset` on; zeros where it has none.
    public func bytes(at offset: Int, count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
            filled = count
        }
    }

    /// What a disk cannot read it cannot read in such blocks.
    private static let block = 4096
}

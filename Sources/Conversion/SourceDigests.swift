import BundleFormat
import Bytes
import Checkpoints
import Foundation
import Synchronization

/// Digests of source files, computed beside the conversion so that each byte comes from the disk once.
///
/// The hasher walks the files in the order in which their tensors are converted, and waits when it is too
/// far ahead of the conversion for the pages to be still in memory when their turn comes.
final class SourceDigests: Sendable {
    /// How far the hasher may be ahead.
    private static let lead = 256 << 20
    private static let step = 4 << 20

    private let files: [(file: SourceFile, origin: String)]
    private let converted = Atomic<Int>(0)
    private let isCancelled = Atomic<Bool>(false)
    private let result = Mutex<Result<[BundleSource], CrayonError>?>(nil)
    private let done = DispatchSemaphore(value: 0)

    init(_ files: [(file: SourceFile, origin: String)]) {
        self.files = files
        let thread = Thread { [self] in
            let outcome: Result<[BundleSource], CrayonError>
            do throws(CrayonError) {
                outcome = .success(try hash())
            } catch {
                outcome = .failure(error)
            }
            result.withLock { $0 = outcome }
            done.signal()
        }
        thread.name = "crayon.digests"
        thread.start()
    }

    /// Tells how many bytes the conversion has read.
    func advance(by bytes: Int) { converted.add(bytes, ordering: .relaxed) }

    /// Returns when the hasher has ended, whether it was done or not.
    func cancel() {
        isCancelled.store(true, ordering: .relaxed)
        wait()
    }

    /// Waits for the digests; the conversion has read all that it will.
    func finish() throws(CrayonError) -> [BundleSource] {
        converted.store(Int.max / 2, ordering: .relaxed)
        wait()
        guard let outcome = result.withLock({ $0 }) else { preconditionFailure("signalled without a result") }
        return try outcome.get()
    }

    private func wait() {
        done.wait()
        // For who waits after this.
        done.signal()
    }

    private func hash() throws(CrayonError) -> [BundleSource] {
        var sources: [BundleSource] = []
        var hashed = 0
        for (file, origin) in files {
            let mapping = try MappedFile(path: file.path)
            let hasher = SHA256Hasher()
            for start in stride(from: 0, to: mapping.count, by: Self.step) {
                while hashed > converted.load(ordering: .relaxed) + Self.lead {
                    if isCancelled.load(ordering: .relaxed) { return [] }
                    usleep(2000)
                }
                if isCancelled.load(ordering: .relaxed) { return [] }
                let count = min(Self.step, mapping.count - start)
                mapping.willNeed(offset: start + count, count: Self.step)
                hasher.update(mapping.region(offset: start, count: count).buffer)
                mapping.dontNeed(offset: start, count: count)
                hashed += count
            }
            guard mapping.count == file.byteCount else { throw MappedFile.hasChanged(file.path) }
            try mapping.checkUnchanged()
            sources.append(
                BundleSource(
                    name: Folder.lastPart(of: file.path), origin: origin,
                    byteCount: file.byteCount, sha256: hasher.finish().description))
        }
        return sources
    }
}

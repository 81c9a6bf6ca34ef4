import Foundation
import Synchronization

/// The most anonymous memory that the process has had: what it allocated, without the files that it maps, which
/// the kernel may drop at will. Linux tells only the present value, so it is looked at twenty times a second.
final class MemoryWatch: Sendable {
    private let peak = Atomic<Int>(0)
    private let isStopped = Atomic<Bool>(false)

    init() {
        let thread = Thread { [self] in
            while !isStopped.load(ordering: .relaxed) {
                sample()
                usleep(50_000)
            }
        }
        thread.name = "crayon.memory"
        thread.start()
    }

    /// Bytes; nil where the system does not tell.
    func finish() -> Int? {
        sample()
        isStopped.store(true, ordering: .relaxed)
        let bytes = peak.load(ordering: .relaxed)
        return bytes > 0 ? bytes : nil
    }

    /// The most memory that the process has had with the pages of mapped files that were in it, in bytes; nil where the
    /// system does not tell.
    static var peakResidentBytes: Int? { status("VmHWM:") }

    private func sample() {
        guard let bytes = Self.status("RssAnon:") else { return }
        peak.max(bytes, ordering: .relaxed)
    }

    private static func status(_ key: String) -> Int? {
        guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
            let line = status.split(separator: "\n").first(where: { $0.hasPrefix(key) })
        else { return nil }
        return line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
    }
}

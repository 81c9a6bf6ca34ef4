import Bytes
import Foundation
import JSON

/// A file of JSON objects, one a line, each with the `update` after which it was written, in ascending order.
final class RunLog {
    let path: String
    private let descriptor: Int32

    /// Opens a log, or makes one.
    /// - Parameters:
    ///   - update: what was written after later ones is cut off: it will be written again. At 0 that is everything.
    ///   - kept: is given every line that stays.
    init(path: String, through update: Int, kept: (JSONReader) -> Void = { _ in }) throws(CrayonError) {
        self.path = path
        descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw .system(errno, in: path, while: "opening the log") }
        var isOpen = false
        defer { if !isOpen { close(descriptor) } }
        let bytes = try MappedFile(path: path).whole.array
        var end = 0
        while let stop = bytes[end...].firstIndex(of: UInt8(ascii: "\n")) {
            let text = String(decoding: bytes[end..<stop], as: UTF8.self)
            // A line that was cut short, or damaged, is as good as none.
            guard let value = try? JSONValue.parse(text, name: path), let line = try? JSONReader(value, place: path),
                let number = try? line.int("update"), number <= update, update > 0
            else { break }
            kept(line)
            end = stop + 1
        }
        guard ftruncate(descriptor, off_t(end)) == 0 else { throw .system(errno, in: path, while: "cutting the log") }
        isOpen = true
    }

    deinit { close(descriptor) }

    func append(_ line: JSONObject) throws(CrayonError) {
        let bytes = Array((JSONValue.object(line).text(style: .python) + "\n").utf8)
        var done = 0
        while done < bytes.count {
            let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress! + done, bytes.count - done) }
            if written < 0 {
                if errno == EINTR { continue }
                throw .system(errno, in: path, while: "writing the log")
            }
            done += written
        }
    }

    /// Waits until all lines are on disk.
    func sync() throws(CrayonError) {
        guard fdatasync(descriptor) == 0 else { throw .system(errno, in: path, while: "syncing the log") }
    }
}

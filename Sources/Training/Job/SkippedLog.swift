import Bytes
import Datasets
import Foundation

/// A text file with a line for each record that a run left out. A run that goes on may name a record again.
struct SkippedLog {
    let path: String

    /// What cannot be logged does not stop the run: the record is counted all the same.
    func append(_ record: SkippedRecord) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        let line = Array((record.description + "\n").utf8)
        _ = line.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    }
}

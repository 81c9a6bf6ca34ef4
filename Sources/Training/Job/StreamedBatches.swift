import Bytes
import Datasets
import Foundation

/// Batches of data sets, with a log of what was left out.
struct StreamedBatches: BatchSource {
    private let stream: BatchStream
    /// Nil on ranks that do not write.
    private let log: String?

    /// - Parameters:
    ///   - log: lines are added to it. A run that goes on may name a record again that it had named before.
    init(_ stream: BatchStream, log: String?) {
        self.stream = stream
        self.log = log
    }

    mutating func next() throws(CrayonError) -> SourcedBatch<DataPosition> {
        let batch = try stream.next()
        if let log, !batch.skipped.isEmpty {
            let text = batch.skipped.map { $0.description + "\n" }.joined()
            try append(Array(text.utf8), to: log)
        }
        return SourcedBatch(sequences: batch.sequences, position: batch.position, skipped: batch.skipped.count)
    }

    private func append(_ bytes: [UInt8], to path: String) throws(CrayonError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw .system(errno, in: path, while: "opening the log") }
        defer { close(descriptor) }
        guard bytes.withUnsafeBytes({ write(descriptor, $0.baseAddress, $0.count) }) == bytes.count else {
            throw .system(errno, in: path, while: "writing the log")
        }
    }
}

import Bytes
import JSON

/// What of a job that writes one weight after the other is on disk: a record of many weights at a time, since each waits for the
/// disk. Used by the writing thread alone once the work has begun.
final class WeightJournal: @unchecked Sendable {
    private let resume: ResumeFolder?
    /// Weights that an earlier run had written.
    let resumedCount: Int
    private var savedBytes: Int

    /// - Parameters:
    ///   - bytesWritten: what lies in the output already.
    init(_ resume: ResumeFolder?, bytesWritten: Int = 0) {
        self.resume = resume
        resumedCount = Self.items(resume).last?.count ?? 0
        savedBytes = bytesWritten
    }

    /// The records of an earlier run, in the order in which they were made.
    static func records(_ resume: ResumeFolder?) -> [JSONReader] {
        items(resume).map { JSONReader($0.record, place: resume?.path ?? "") }
    }

    /// Says that a weight was written, and keeps a record when it is time for one.
    /// - Parameters:
    ///   - bytesWritten: of the whole output so far.
    ///   - record: brings what was written to disk, and gives what to remember of the weights since the last record.
    func didWrite(
        _ index: Int, bytesWritten: Int, isLast: Bool, record: () throws(CrayonError) -> JSONObject
    ) throws(CrayonError) {
        guard let resume, isLast || bytesWritten - savedBytes >= resume.stride else { return }
        try resume.finish(String(index + 1), record())
        savedBytes = bytesWritten
    }

    /// Numbers stand for weights written; a job may have items of other names beside them.
    private static func items(_ resume: ResumeFolder?) -> [(count: Int, record: JSONObject)] {
        (resume?.finished ?? [:]).compactMap { item, record in Int(item).map { ($0, record) } }.sorted { $0.0 < $1.0 }
    }
}

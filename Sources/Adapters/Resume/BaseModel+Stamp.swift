import Bytes
import JSON

extension BaseModel {
    /// What tells one state of its files from another without reading them, for the fingerprint of a job.
    var stamp: JSONValue { .array(sourcePaths.map { .string("\($0) \(FileIdentity(path: $0).description)") }) }
}

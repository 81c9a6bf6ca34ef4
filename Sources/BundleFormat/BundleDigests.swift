import Bytes
import Checkpoints

extension BundleReader {
    /// Reads every byte of the data; see `BundleContents.differing`.
    public func verifyDigests(progress: (@Sendable (_ done: Int, _ total: Int) -> Void)? = nil) -> [String] {
        BundleContents(self).differing(progress: progress)
    }
}

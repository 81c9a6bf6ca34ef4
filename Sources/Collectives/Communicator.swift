public import Bytes

/// Processes that work on one job, each with its rank: what they say to each other, all at the same time.
///
/// Every rank must make the same calls in the same order. Calls block until the others have made theirs.
public protocol Communicator: AnyObject {
    /// `0 ..< size`
    var rank: Int { get }
    var size: Int { get }

    /// Gives part r of `send` to rank r, and receives from rank r what becomes part r of `receive`.
    /// Both hold `size * bytesPerRank` bytes, and do not overlap.
    func allToAll(
        _ send: UnsafeRawPointer, _ receive: UnsafeMutableRawPointer, bytesPerRank: Int) throws(CrayonError)

    /// Gives `bytes` bytes to all; `receive` holds as many from each rank, in the order of ranks.
    func allGather(_ send: UnsafeRawPointer, _ receive: UnsafeMutableRawPointer, bytes: Int) throws(CrayonError)

    /// Rank 0's bytes, for all.
    func broadcast(_ bytes: UnsafeMutableRawPointer, count: Int) throws(CrayonError)

    /// Leaves a job that has ended well, when all do; nothing can be said afterwards. A rank that fails must not call it: it
    /// ends its process, and whoever started the ranks ends the others.
    func finish()
}

extension Communicator {
    public func finish() {}
}

/// A job of one process.
public final class SingleProcess: Communicator {
    public let rank = 0
    public let size = 1

    public init() {}

    public func allToAll(_ send: UnsafeRawPointer, _ receive: UnsafeMutableRawPointer, bytesPerRank: Int) {
        receive.copyMemory(from: send, byteCount: bytesPerRank)
    }

    public func allGather(_ send: UnsafeRawPointer, _ receive: UnsafeMutableRawPointer, bytes: Int) {
        receive.copyMemory(from: send, byteCount: bytes)
    }

    public func broadcast(_ bytes: UnsafeMutableRawPointer, count: Int) {}
}

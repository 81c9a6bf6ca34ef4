import Foundation

/// Ranks that are threads of one process: what is true of ranks can be tried without starting any.
public final class LocalRanks: @unchecked Sendable {
    // @unchecked: everything mutable is under `condition`.
    private let size: Int
    private let condition = NSCondition()
    private var arrived = 0
    private var round = 0
    private var sent: [[UInt8]]

    private init(_ size: Int) {
        self.size = size
        sent = Array(repeating: [], count: size)
    }

    fileprivate var count: Int { size }

    /// Everybody's bytes, once all have brought theirs.
    fileprivate func exchange(_ bytes: [UInt8], from rank: Int) -> [[UInt8]] {
        meet { self.sent[rank] = bytes }
        let all = sent
        // Nobody brings the next ones before all have taken these.
        meet {}
        return all
    }

    private func meet(_ body: () -> Void) {
        condition.lock()
        defer { condition.unlock() }
        body()
        arrived += 1
        if arrived == size {
            arrived = 0
            round += 1
            condition.broadcast()
        } else {
            let now = round
            while round == now { condition.wait() }
        }
    }

    /// Runs the body as each rank, and gives what each gave, or the first one's error.
    public static func run<T: Sendable>(_ size: Int, _ body: @escaping @Sendable (any Communicator) throws -> T) throws
        -> [T]
    {
        let ranks = LocalRanks(size)
        let results = Results<T>(size)
        let threads = (0..<size).map { rank in
            let thread = Thread { results.set(rank, Result { try body(ThreadRank(rank, of: ranks)) }) }
            thread.stackSize = 8 << 20
            thread.start()
            return thread
        }
        return try withExtendedLifetime(threads) { try results.wait() }
    }
}

private final class ThreadRank: Communicator {
    let rank: Int
    let size: Int
    private let ranks: LocalRanks

    init(_ rank: Int, of ranks: LocalRanks) {
        self.rank = rank
        self.ranks = ranks
        size = ranks.count
    }

    func allToAll(_ send: UnsafeRawPointer, _ receive: UnsafeMutableRawPointer, bytesPerRank: Int) {
        let all = ranks.exchange([UInt8](UnsafeRawBufferPointer(start: send, count: size * bytesPerRank)), from: rank)
        for (other, bytes) in all.enumerated() {
            bytes[rank * bytesPerRank..<(rank + 1) * bytesPerRank].withUnsafeBytes {
                if let base = $0.baseAddress {
                    (receive + other * bytesPerRank).copyMemory(from: base, byteCount: bytesPerRank)
                }
            }
        }
    }

    func allGather(_ send: UnsafeRawPointer, _ receive: UnsafeMutableRawPointer, bytes count: Int) {
        let all = ranks.exchange([UInt8](UnsafeRawBufferPointer(start: send, count: count)), from: rank)
        for (other, bytes) in all.enumerated() {
            bytes.withUnsafeBytes {
                if let base = $0.baseAddress { (receive + other * count).copyMemory(from: base, byteCount: count) }
            }
        }
    }

    func broadcast(_ bytes: UnsafeMutableRawPointer, count: Int) {
        let all = ranks.exchange(
            rank == 0 ? [UInt8](UnsafeRawBufferPointer(start: bytes, count: count)) : [], from: rank)
        all[0].withUnsafeBytes { if let base = $0.baseAddress { bytes.copyMemory(from: base, byteCount: count) } }
    }
}

private final class Results<T: Sendable>: @unchecked Sendable {
    // @unchecked: `values` is under `condition`.
    private let condition = NSCondition()
    private var values: [Result<T, any Error>?]

    init(_ count: Int) { values = Array(repeating: nil, count: count) }

    func set(_ index: Int, _ value: Result<T, any Error>) {
        condition.lock()
        values[index] = value
        condition.broadcast()
        condition.unlock()
    }

    func wait() throws -> [T] {
        condition.lock()
        defer { condition.unlock() }
        while values.contains(where: { $0 == nil }) { condition.wait() }
        return try values.compactMap { try $0?.get() }
    }
}

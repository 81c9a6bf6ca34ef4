public import Bytes
import Kernels

extension Communicator {
    /// Adds every rank's `values` to `total`, which is the same on all ranks, before and after: rank 0's first, then rank 1's and
    /// so on, as one process would that had them all.
    ///
    /// Each rank adds up a part of the whole and hands it on, so that every value travels twice, however many ranks there are.
    /// - Precondition: both hold `count` elements.
    public func add(
        _ values: UnsafePointer<Float>, to total: UnsafeMutablePointer<Float>, count: Int
    ) throws(CrayonError) {
        guard size > 1 else {
            Parallel.forEachRange(of: count, size: 1 << 16) { range in
                VectorMath.add(values + range.lowerBound, into: total + range.lowerBound, count: range.count)
            }
            return
        }
        // 4 MiB a part: large enough that a message's latency is nothing beside its length.
        let most = 1 << 20
        let part = min(most, (count + size - 1) / size)
        let buffers = (0..<3).map { _ in ByteBuffer(count: size * part * 4) }
        defer { withExtendedLifetime(buffers) {} }
        let floats = buffers.map { $0.pointer.assumingMemoryBound(to: Float.self) }
        let (send, received, sums) = (floats[0], floats[1], floats[2])
        for start in stride(from: 0, to: count, by: max(size * part, 1)) {
            let run = min(size * part, count - start)
            send.update(from: values + start, count: run)
            try allToAll(send, received, bytesPerRank: part * 4)
            let own = min(part, max(run - rank * part, 0))
            let sum = sums + rank * part
            if own > 0 { sum.update(from: total + start + rank * part, count: own) }
            for other in 0..<size { VectorMath.add(received + other * part, into: sum, count: own) }
            try allGather(sum, send, bytes: part * 4)
            (total + start).update(from: send, count: run)
        }
    }

    /// Every rank's numbers, in the order of ranks.
    public func gather(_ numbers: [Double]) throws(CrayonError) -> [[Double]] {
        guard size > 1 else { return [numbers] }
        let bytes = numbers.count * 8
        let received = ByteBuffer(count: size * bytes)
        let sent = ByteBuffer(count: bytes)
        defer { withExtendedLifetime((sent, received)) {} }
        numbers.withUnsafeBytes { sent.bytes.copyMemory(from: $0) }
        try allGather(sent.pointer, received.pointer, bytes: bytes)
        return (0..<size).map { rank in
            numbers.indices.map {
                received.pointer.loadUnaligned(fromByteOffset: rank * bytes + $0 * 8, as: Double.self)
            }
        }
    }

    /// Rank 0's bytes, whose number the others need not know.
    public func broadcast(_ bytes: [UInt8]) throws(CrayonError) -> [UInt8] {
        guard size > 1 else { return bytes }
        var count = Int64(bytes.count)
        try broadcast(&count, count: 8)
        let buffer = ByteBuffer(count: Int(count))
        if rank == 0 { bytes.withUnsafeBytes { buffer.bytes.copyMemory(from: $0) } }
        try broadcast(buffer.pointer, count: buffer.count)
        return [UInt8](buffer.bytes)
    }

    /// - Throws: `CrayonError` when ranks do not hold the same; `what` says what.
    public func requireSame(_ digest: SHA256Digest, _ what: String) throws(CrayonError) {
        guard size > 1 else { return }
        let sent = ByteBuffer(count: 32)
        sent.bytes.copyBytes(from: digest.bytes)
        let received = ByteBuffer(count: 32 * size)
        defer { withExtendedLifetime((sent, received)) {} }
        try allGather(sent.pointer, received.pointer, bytes: 32)
        let digests = (0..<size).map { Array(received.bytes[$0 * 32..<($0 + 1) * 32]) }
        guard let other = digests.firstIndex(where: { $0 != digests[0] }) else { return }
        throw CrayonError(
            .mismatch, in: "rank \(other)", item: what, found: SHA256Digest(bytes: digests[other]).description,
            expected: "what rank 0 has, \(SHA256Digest(bytes: digests[0]))",
            advice: "Are all machines of one kind, with the same files and the same version of Crayon?")
    }
}

extension Communicator {
    /// What rank 0 does for all: they have its result, or its error.
    public func onRankZero(_ body: () throws(CrayonError) -> [UInt8]) throws(CrayonError) -> [UInt8] {
        guard size > 1 else { return try body() }
        var message: [UInt8] = []
        var failure: CrayonError?
        if rank == 0 {
            do throws(CrayonError) {
                message = [1] + (try body())
            } catch {
                failure = error
                message = [0] + Array(error.description.utf8)
            }
        }
        message = try broadcast(message)
        if let failure { throw failure }
        guard message.first == 1 else {
            throw CrayonError(.io, in: "rank 0", found: String(decoding: message.dropFirst(), as: UTF8.self))
        }
        return Array(message.dropFirst())
    }
}

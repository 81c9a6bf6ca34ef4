import Bytes
import Foundation
import Layers
import Quantization
import Synchronization
import Tensors
import Testing

/// Weights that come piece by piece, needed by several threads at once.
@Suite struct WeightArrivalTests {
    static let error = CrayonError(.malformed, in: "a file", item: "a weight", found: "damage")

    /// Ones, in pieces of 10; how often each was made.
    private func ones(
        _ count: Int, failing: Set<Int> = [], _ failures: WeightFailures
    ) -> (arrival: WeightArrival, tensor: Tensor, made: Made) {
        let buffer = ByteBuffer(count: count * 4)
        let tensor = Tensor(name: "w", type: .f32, shape: Shape([count / 5, 5]), region: buffer.region)
        let made = Made()
        let deferred = DeferredTensor(tensor: tensor, pieceElements: 10) { (piece) throws(CrayonError) in
            made.pieces.withLock { $0[piece, default: 0] += 1 }
            if failing.contains(piece) { throw Self.error }
            let floats = buffer.pointer.assumingMemoryBound(to: Float.self)
            for index in piece * 10..<min(piece * 10 + 10, count) { floats[index] = 1 }
        }
        return (WeightArrival(deferred, failures: failures), tensor, made)
    }

    private final class Made: Sendable {
        let pieces = Mutex<[Int: Int]>([:])
    }

    @Test func everyPieceIsMadeOnceForAllWhoWait() throws {
        for round in 0..<50 {
            let failures = WeightFailures()
            let (arrival, tensor, made) = ones(995, failures)
            let wrong = Mutex(0)
            let group = DispatchGroup()
            for thread in 0..<4 {
                group.enter()
                Thread {
                    if thread < 2 { for piece in 0..<arrival.pieceCount { arrival.make(piece) } }
                    arrival.wait()
                    let holds = (0..<995).allSatisfy {
                        tensor.region.buffer.load(fromByteOffset: $0 * 4, as: Float.self) == 1
                    }
                    if !holds { wrong.withLock { $0 += 1 } }
                    group.leave()
                }.start()
            }
            group.wait()
            #expect(arrival.isComplete && arrival.error == nil, "round \(round)")
            #expect(wrong.withLock { $0 } == 0)
            #expect(made.pieces.withLock { $0.count == 100 && $0.values.allSatisfy { $0 == 1 } })
            try failures.check()
        }
    }

    /// Rows of a table bring the pieces that hold them, no others.
    @Test func rowsBringTheirPieces() throws {
        let failures = WeightFailures()
        let (arrival, tensor, made) = ones(1000, failing: [7, 50], failures)
        let table = WeightTable(.dense(tensor), arrival: arrival)
        table.bring([0, 1, 3, 199, 3])
        #expect(made.pieces.withLock { Set($0.keys) } == [0, 1, 99])
        var row = [Float](repeating: 0, count: 5)
        table.row(8, into: &row)
        #expect(row == [1, 1, 1, 1, 1])
        #expect(made.pieces.withLock { Set($0.keys) } == [0, 1, 4, 99])
        try failures.check()
        // A piece that cannot be made is the error of whoever needs it, though another failed before it.
        arrival.make(7)
        table.row(20, into: &row)
        try failures.check()
        table.row(100, into: &row)
        #expect(throws: CrayonError.self) { try failures.check() }
        #expect(!arrival.isComplete)
        arrival.wait()
        #expect(arrival.error?.description == Self.error.description)
    }
}

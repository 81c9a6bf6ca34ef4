import Bytes
import Collectives
import Foundation
import Testing

@Suite struct SumTests {
    private static func values(_ rank: Int, _ count: Int) -> [Float] {
        (0..<count).map { sin(Float($0 * 7 + rank * 1000)) * pow(10, Float(rank - 1)) }
    }

    /// The bits that one process would have, whatever the number of elements is to that of ranks.
    @Test(arguments: [1, 2, 3, 5], [0, 1, 2, 3, 4, 17, 1000]) func orderOfRanks(size: Int, count: Int) throws {
        var expected = Self.values(9, count)
        for rank in 0..<size {
            for (index, value) in Self.values(rank, count).enumerated() { expected[index] += value }
        }
        let sums = try LocalRanks.run(size) { ranks in
            var total = Self.values(9, count)
            let own = Self.values(ranks.rank, count)
            try total.withUnsafeMutableBufferPointer { total in
                try own.withUnsafeBufferPointer { own in
                    guard let total = total.baseAddress, let own = own.baseAddress else { return }
                    try ranks.add(own, to: total, count: count)
                }
            }
            return total
        }
        for sum in sums { #expect(sum.map(\.bitPattern) == expected.map(\.bitPattern)) }
    }

    /// More than one message's worth.
    @Test func manyElements() throws {
        let count = (2 << 20) * 2 + 12345
        let sums = try LocalRanks.run(2) { ranks in
            var total = [Float](repeating: 1, count: count)
            let own = [Float](repeating: Float(ranks.rank + 1), count: count)
            try total.withUnsafeMutableBufferPointer { total in
                try own.withUnsafeBufferPointer { own in
                    guard let total = total.baseAddress, let own = own.baseAddress else { return }
                    try ranks.add(own, to: total, count: count)
                }
            }
            return total.allSatisfy { $0 == 4 }
        }
        #expect(sums == [true, true])
    }

    @Test func gatheringAndBroadcasting() throws {
        let gathered = try LocalRanks.run(3) { try $0.gather([Double($0.rank), 0.5]) }
        #expect(gathered == Array(repeating: [[0, 0.5], [1, 0.5], [2, 0.5]], count: 3))
        let told = try LocalRanks.run(3) { try $0.broadcast($0.rank == 0 ? [1, 2, 3] : []) }
        #expect(told == Array(repeating: [1, 2, 3], count: 3))
        #expect(try SingleProcess().gather([2]) == [[2]])
    }

    @Test func differenceIsNamed() throws {
        let errors = try LocalRanks.run(3) { ranks in
            do {
                try ranks.requireSame(.of([UInt8(ranks.rank / 2)]), "weights")
                return "none"
            } catch {
                return "\(error)"
            }
        }
        for error in errors {
            #expect(error.hasPrefix("rank 2: weights: "))
            #expect(error.contains("expected what rank 0 has"))
        }
        _ = try LocalRanks.run(3) { try $0.requireSame(.of([1]), "weights") }
    }
}

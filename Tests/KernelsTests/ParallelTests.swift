import Kernels
import Synchronization
import Testing

@Suite struct ParallelTests {
    struct Failure: Error, Equatable { let index: Int }

    @Test(arguments: [0, 1, 2, 3, 100, 10_000]) func everyIndexOnce(count: Int) {
        var seen = [UInt8](repeating: 0, count: count)
        seen.withUnsafeMutableBufferPointer { seen in Parallel.forEach(count: count) { seen[$0] += 1 } }
        #expect(seen.allSatisfy { $0 == 1 })
    }

    @Test(arguments: [(0, 3), (1, 3), (9, 3), (10, 3), (2, 100)]) func rangesCover(count: Int, size: Int) {
        let ranges = Mutex<[Range<Int>]>([])
        Parallel.forEachRange(of: count, size: size) { range in ranges.withLock { $0.append(range) } }
        let sorted = ranges.withLock { $0.sorted { $0.lowerBound < $1.lowerBound } }
        #expect(sorted.flatMap { Array($0) } == Array(0..<count))
        #expect(sorted.allSatisfy { $0.count <= size && !$0.isEmpty })
    }

    @Test func rethrowsAndStops() {
        let begun = Atomic<Int>(0)
        #expect(throws: Failure.self) {
            try Parallel.forEach(count: 1_000_000) { (index) throws(Failure) in
                begun.wrappingAdd(1, ordering: .relaxed)
                if index >= 10 { throw Failure(index: index) }
            }
        }
        #expect(begun.load(ordering: .relaxed) < 1000)
    }

    @Test func nests() {
        let sum = Atomic<Int>(0)
        Parallel.forEach(count: 8) { _ in
            Parallel.forEach(count: 100) { sum.wrappingAdd($0, ordering: .relaxed) }
        }
        #expect(sum.load(ordering: .relaxed) == 8 * 4950)
    }
}

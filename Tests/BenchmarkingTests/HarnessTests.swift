import Benchmarking
import Bytes
import Testing

@Suite struct HarnessTests {
    @Test func timingHasMedianAndQuartiles() {
        let timing = Timing([5, 1, 4, 2, 3])
        #expect(timing.count == 5 && timing.median == 3 && timing.lowest == 1 && timing.highest == 5)
        #expect(timing.firstQuartile == 2 && timing.thirdQuartile == 4)
        #expect(Timing([1, 2]).median == 1.5)
        #expect(Timing([7]).thirdQuartile == 7)
    }

    /// At least so often and so long, unless it takes too long.
    @Test(arguments: [
        (0, 0.0, true), (1, 0.1, true), (4, 0.1, true), (4, 2.0, true), (5, 0.5, true), (5, 1.0, false),
        (1, 60.0, false), (9, 0.9, true),
    ])
    func planRepeats(count: Int, seconds: Double, goesOn: Bool) {
        let plan = TimingPlan(minimumCount: 5, minimumSeconds: 1, maximumSeconds: 60)
        #expect(plan.goesOn(count: count, seconds: seconds) == goesOn)
    }

    @Test func floorAddsItsTerms() {
        let floor = Floor([.diskRead: 6, .diskWrite: 4])
        #expect(floor.seconds(at: [.diskRead: 2, .diskWrite: 8]) == 3.5)
        #expect(floor.seconds(at: [.diskRead: 2]) == nil)
        #expect(Floor([:]).seconds(at: [:]) == 0)
    }

    @Test func ceilingsKeepTheHigherOfEach() {
        func ceilings(_ read: Double, _ copy: Double, disk: Double?) -> Ceilings {
            let rates = Ceilings.Rates(memoryRead: read, memoryCopy: copy, products: 1)
            return Ceilings(
                threads: 2, one: rates, all: rates,
                disk: disk.map { DiskCeiling(readRate: $0, writeRate: 1, cachedShare: 0, byteCount: 1) })
        }
        let highest = ceilings(3, 4, disk: 5).highest(ceilings(6, 2, disk: 7))
        #expect(highest.rates(threads: 2)[.memoryRead] == 6 && highest.rates(threads: 1)[.memoryCopy] == 4)
        #expect(highest.rates(threads: 2)[.diskRead] == 7)
        #expect(ceilings(1, 1, disk: nil).rates(threads: 2)[.diskRead] == nil)
    }

    @Test func benchmarksAreSelectedByNameAndGroup() throws {
        try withFolder { folder in
            let model = JobModel(folder: folder, layers: 1)
            let all = BenchmarkSuite.all(model: model)
            #expect(Set(all.map(\.name)).count == all.count)
            #expect(try all.selected(by: []).count == all.count)
            let kernels = try all.selected(by: ["kernels"])
            #expect(kernels.count > 10 && kernels.allSatisfy { $0.group == .kernels })
            #expect(try all.selected(by: ["tg32", "quantize-nf4"]).map(\.name) == ["quantize-nf4", "tg32"])
            let error = #expect(throws: CrayonError.self) { try all.selected(by: ["fast"]) }
            #expect(error?.code == .usage && error?.expected?.contains("pp1300") == true)
        }
    }
}

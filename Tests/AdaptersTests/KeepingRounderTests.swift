import Adapters
import Bytes
import Kernels
import Quantization
import Tensors
import Testing

@Suite struct KeepingRounderTests {
    static func merge(
        _ base: NF4Tensor, _ delta: [Float], _ rounder: KeepingRounder = KeepingRounder()
    ) throws -> MergedWeight {
        try rounder.merge(base, adding: DeltaSource(delta), name: "w", place: "test")
    }

    /// What every possible choice of codes for five elements would give: none that retains as much is nearer.
    @Test(arguments: 0..<24) func nothingIsBetter(seed: Int) throws {
        let base = try RandomWeights.base(1, 5, blockSize: 32, isDouble: seed % 2 == 0, seed: UInt64(seed))
        let ratio = [0.02, 0.05, 0.1, 0.3][seed % 4]
        let delta = RandomWeights.delta(base, ratio: ratio, seed: UInt64(100 + seed))
        let merged = try Self.merge(base, delta, KeepingRounder(retention: 0.7, comparesWithPlain: false))
        let before = RandomWeights.values(base).map(Double.init)
        let after = RandomWeights.values(merged.tensor).map(Double.init)
        let squared = delta.reduce(0) { $0 + Double($1) * Double($1) }
        func retention(_ values: [Double]) -> Double {
            (0..<5).reduce(0) { $0 + (values[$1] - before[$1]) * Double(delta[$1]) } / squared
        }
        func error(_ values: [Double]) -> Double {
            (0..<5).reduce(0) { sum, index in
                let difference = values[index] - before[index] - Double(delta[index])
                return sum + difference * difference
            }
        }
        let kept = retention(after)
        let distance = error(after)
        var scale: Float = 0
        base.scales(ofBlocks: 0..<1, into: &scale)
        let levels = NF4Kernel.map.map { Double($0 * scale) }
        var least = Double.infinity
        var values = [Double](repeating: 0, count: 5)
        for choice in 0..<1 << 20 {
            for index in 0..<5 { values[index] = levels[choice >> (4 * index) & 15] }
            if retention(values) >= kept - 1e-9 { least = min(least, error(values)) }
        }
        #expect(distance <= least * (1 + 1e-5) + 1e-12 * squared)
    }

    /// The curve against rounding in double precision.
    @Test(arguments: [(7, 96, 64), (3, 131, 32), (2, 5000, 4096)]) func curve(
        rows: Int, columns: Int, blockSize: Int
    ) throws {
        let base = try RandomWeights.base(rows, columns, blockSize: blockSize)
        let delta = RandomWeights.delta(base, ratio: 0.03)
        let curve = try #require(try Self.merge(base, delta, KeepingRounder(reportsCurve: true)).curve)
        let before = RandomWeights.values(base)
        let squared = delta.reduce(0) { $0 + Double($1) * Double($1) }
        let target = zip(before, delta).reduce(0) { $0 + (Double($1.0) + Double($1.1)) * (Double($1.0) + Double($1.1)) }
        var scales = [Float](repeating: 0, count: base.blockCount)
        base.scales(ofBlocks: 0..<base.blockCount, into: &scales)
        for point in curve.prefix(16) {
            var product = 0.0
            var error = 0.0
            for index in delta.indices {
                let aim = Double(before[index]) + point.amplification * Double(delta[index])
                let levels = NF4Kernel.map.map { Double($0) * Double(scales[index / blockSize]) }
                let nearest = try #require(levels.min { ($0 - aim).magnitude < ($1 - aim).magnitude })
                let change = nearest - Double(before[index])
                product += change * Double(delta[index])
                error += (change - Double(delta[index])) * (change - Double(delta[index]))
            }
            #expect((point.retention - product / squared).magnitude < 1e-4)
            #expect((point.relativeError - (error / target).squareRoot()).magnitude < 1e-4 * point.relativeError)
        }
        #expect(zip(curve, curve.dropFirst()).allSatisfy { $0.retention <= $1.retention + 1e-6 })
    }

    @Test(arguments: [0.005, 0.01, 0.02, 0.05, 0.1], [0.8, 0.95]) func retentionIsReached(
        ratio: Double, retention: Double
    ) throws {
        let base = try RandomWeights.base(256, 512)
        let delta = RandomWeights.delta(base, ratio: ratio)
        let statistics = try Self.merge(base, delta, KeepingRounder(retention: retention)).statistics
        #expect((statistics.retention - retention).magnitude < 0.02 || statistics.errorOverPlain == 1)
        #expect((statistics.deltaRatio - ratio).magnitude < 1e-4)
        // Nothing is worse than what quantizing a 16-bit weight costs: 9.2 % for such a one.
        #expect(statistics.relativeError < 0.092)
    }

    @Test func errorLimit() throws {
        let base = try RandomWeights.base(256, 512)
        let delta = RandomWeights.delta(base, ratio: 0.01)
        let free = try Self.merge(base, delta).statistics
        let bound = try Self.merge(base, delta, KeepingRounder(errorLimit: 0.02)).statistics
        #expect(free.relativeError > 0.024)
        #expect((bound.relativeError - 0.02).magnitude < 0.001)
        #expect(bound.retention < free.retention && bound.retention > 0.4)
    }

    /// Plain requantization keeps next to nothing of the same change.
    @Test func plainLosesIt() throws {
        let base = try RandomWeights.base(256, 512)
        let delta = RandomWeights.delta(base, ratio: 0.01)
        let plain = try PlainRequantization().merge(base, adding: DeltaSource(delta), name: "w", place: "test")
        #expect(plain.statistics.retention < 0.05)
        let kept = try Self.merge(base, delta)
        #expect(kept.method == .kept)
        #expect(kept.statistics.changedScales == 0 && kept.statistics.changedCodes < 0.04)
        let ratio = try #require(kept.statistics.errorOverPlain)
        #expect((ratio - kept.statistics.errorNorm / plain.statistics.errorNorm).magnitude < 1e-12)
    }

    @Test(arguments: [true, false], [32, 64, 256, 4096]) func noChangeIsTheBase(isDouble: Bool, blockSize: Int) throws {
        let base = try RandomWeights.base(33, 131, blockSize: blockSize, isDouble: isDouble)
        let merged = try Self.merge(base, [Float](repeating: 0, count: 33 * 131))
        #expect(RandomWeights.bytes(merged.tensor) == RandomWeights.bytes(base))
        #expect(merged.statistics.retention == 1 && merged.statistics.relativeError == 0)
        // Nor does a row without a change, beside one that has some.
        var delta = [Float](repeating: 0, count: 33 * 131)
        for index in 131 * 5..<131 * 6 { delta[index] = 0.002 }
        let one = try Self.merge(base, delta, KeepingRounder(comparesWithPlain: false))
        let (before, after) = (RandomWeights.values(base), RandomWeights.values(one.tensor))
        #expect(before[..<(131 * 5)] == after[..<(131 * 5)] && before[(131 * 6)...] == after[(131 * 6)...])
        #expect(before != after)
    }

    @Test(arguments: NF4Tensor.blockSizes, [(64, 96), (33, 35), (3, 7000), (1, 70_001)]) func statistics(
        blockSize: Int, shape: (Int, Int)
    ) throws {
        let base = try RandomWeights.base(shape.0, shape.1, blockSize: blockSize)
        let delta = RandomWeights.delta(base, ratio: 0.04)
        let merged = try Self.merge(base, delta)
        let before = RandomWeights.values(base)
        let after = RandomWeights.values(merged.tensor)
        let change = zip(after, before).map { $0 - $1 }
        let statistics = merged.statistics
        func near(_ value: Double, _ expected: Double) -> Bool { (value - expected).magnitude <= 1e-6 * expected }
        #expect(near(statistics.weightNorm, RandomWeights.norm(before)))
        #expect(near(statistics.deltaNorm, RandomWeights.norm(delta)))
        let product = zip(change, delta).reduce(0) { $0 + Double($1.0) * Double($1.1) }
        #expect(near(statistics.retention, product / (statistics.deltaNorm * statistics.deltaNorm)))
        let error = RandomWeights.norm(zip(change, delta).map { $0 - $1 })
        #expect(near(statistics.errorNorm, error))
        #expect(near(statistics.relativeError, error / RandomWeights.norm(zip(before, delta).map { $0 + $1 })))
        #expect(Float(statistics.largestChange) == change.map(\.magnitude).max())
        func nibbles(_ tensor: NF4Tensor) -> [UInt8] {
            tensor.codes.array.flatMap { [$0 >> 4, $0 & 15] }
        }
        let changed = zip(nibbles(base), nibbles(merged.tensor)).count { $0 != $1 }
        #expect(near(statistics.changedCodes, Double(changed) / Double(base.shape.count)))
    }

    /// The same bytes from one thread and from several, and from every variant of the kernels.
    @Test func sameBytes() async {
        await #expect(processExitsWith: .success) {
            let base = try RandomWeights.base(130, 1333)
            let delta = RandomWeights.delta(base, ratio: 0.02)
            var results: [[[UInt8]]] = []
            for variant in KernelVariant.available where variant.select() {
                for threads in [1, 3] {
                    Parallel.threadCount = threads
                    let merged = try KeepingRounderTests.merge(base, delta)
                    results.append(RandomWeights.bytes(merged.tensor))
                }
            }
            #expect(results.count >= 4)
            for result in results { #expect(result == results[0]) }
        }
    }

    /// A change as large as the weight, and one of a block of zeros, go where their scales do not reach.
    @Test(arguments: [true, false]) func outgrownScales(isDouble: Bool) throws {
        let base = try RandomWeights.base(64, 128, isDouble: isDouble)
        for ratio in [0.5, 2, 20] {
            let delta = RandomWeights.delta(base, ratio: ratio)
            let plain = try PlainRequantization().merge(base, adding: DeltaSource(delta), name: "w", place: "test")
            let merged = try Self.merge(base, delta)
            #expect(merged.statistics.retention > 0.9)
            #expect(merged.statistics.errorNorm <= plain.statistics.errorNorm * 1.02)
        }
        var values = RandomWeights.normal(64 * 128, scale: 0.02, seed: 3)
        for index in 256..<512 { values[index] = 0 }
        let holed = try NF4Quantizer(doubleQuantization: isDouble)
            .quantize(Tensor(name: "w", shape: Shape([64, 128]), values: values))
        let delta = RandomWeights.delta(holed, ratio: 0.2)
        let merged = try Self.merge(holed, delta, KeepingRounder(comparesWithPlain: false))
        let (before, after) = (RandomWeights.values(holed), RandomWeights.values(merged.tensor))
        let product = (256..<512).reduce(0) { $0 + Double(after[$1] - before[$1]) * Double(delta[$1]) }
        #expect(product > 0.5 * (256..<512).reduce(0) { $0 + Double(delta[$1]) * Double(delta[$1]) })
    }

    @Test func hostile() throws {
        let base = try RandomWeights.base(8, 64)
        var delta = RandomWeights.delta(base, ratio: 0.02)
        for options in [KeepingRounder(retention: 0), KeepingRounder(retention: 1.1), KeepingRounder(errorLimit: 0)] {
            #expect(throws: CrayonError.self) { try Self.merge(base, delta, options) }
        }
        for value in [Float.nan, .infinity] {
            delta[77] = value
            for merge in [
                { _ = try Self.merge(base, delta) },
                {
                    _ = try PlainRequantization().merge(
                        base, adding: DeltaSource(delta), name: "w", place: "a.safetensors")
                },
            ] {
                let error = #expect(throws: CrayonError.self) { try merge() }
                #expect(error?.code == .notFinite)
                #expect(error?.description.contains("element 77") == true)
            }
        }
        var levels = NF4Kernel.map
        levels.swapAt(3, 4)
        let odd = try NF4Tensor(
            shape: base.shape, blockSize: 64, codes: base.codes, scales: base.scales, quantMap: levels, sourceType: .f32
        )
        let error = #expect(throws: CrayonError.self) { try Self.merge(odd, [Float](repeating: 0.01, count: 512)) }
        #expect(error?.code == .unsupported)
    }
}

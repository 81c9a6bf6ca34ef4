import Bytes
import Kernels
import LinearAlgebra
import Tensors
import Testing

@Suite(.serialized) struct RandomizedSVDTests {
    typealias SVD = SingularValueDecomposition

    static func decay(_ count: Int, _ power: Float) -> [Float] {
        (1...count).map { 1 / Float($0).squareRoot().squareRoot() / (power * Float($0)) }
    }

    struct Case: Sendable, CustomStringConvertible {
        var rows, columns: Int
        var values: [Float]
        var noise: Float
        var description: String { "[\(rows), \(columns)] rank \(values.count) noise \(noise)" }
    }

    static let cases = [
        Case(rows: 611, columns: 397, values: [3, 2, 1], noise: 0),
        Case(rows: 397, columns: 611, values: [3, 2, 1], noise: 1e-3),
        Case(rows: 700, columns: 513, values: decay(120, 1), noise: 0),
        Case(rows: 513, columns: 701, values: [Float](repeating: 1, count: 64), noise: 1e-4),
        Case(rows: 640, columns: 640, values: [Float](repeating: 1, count: 64), noise: 0),
        Case(rows: 600, columns: 500, values: [1], noise: 0.02),
    ]

    /// The residual is that of the full decomposition, which no approximation of the same rank can undercut.
    @Test(arguments: cases) func residualOfTheFullDecomposition(_ item: Case) throws {
        let a = try Matrices.planted(item.rows, item.columns, values: item.values, noise: item.noise, seed: 5)
        let full = try SVD.full(of: a)
        for rank in [3, 16, 64] {
            let svd = try SVD.randomized(of: a, options: .init(target: .count(rank), seed: 9))
            let best = Matrices.residual(a, full.truncated(to: rank))
            #expect(Matrices.residual(a, svd) <= best * 1.003 + 2e-6)
            #expect(svd.count == min(rank, full.count))
            #expect(Matrices.distanceFromOrthonormal(svd.u) < 2e-5)
            #expect(Matrices.distanceFromOrthonormal(svd.v) < 2e-6)
            for (value, exact) in zip(svd.values, full.values).prefix(min(rank, item.values.count)) {
                #expect((value - exact).magnitude < 1e-3 * exact)
            }
        }
    }

    @Test func plantedDeltaIsRecovered() throws {
        let a = try Matrices.planted(900, 700, values: [0.5, 0.25, 0.125], seed: 1)
        let svd = try SVD.randomized(of: a, options: .init(target: .count(16)))
        #expect(svd.count == 3)
        #expect(Matrices.residual(a, svd) < 1e-5)
        #expect((svd.values[2] - 0.125).magnitude < 1e-6)
    }

    @Test func countFromEnergyAndRatio() throws {
        // Squares 4, 2, 1, 1/2, …: the first k hold 1 - 2^-k of the whole.
        let values = (0..<24).map { Float(2) / Float(1 << $0).squareRoot() }
        let a = try Matrices.planted(500, 420, values: values, seed: 2)
        for (share, count) in [(0.49, 1), (0.74, 2), (0.99, 7), (0.9999, 14)] {
            let svd = try SVD.randomized(of: a, options: .init(target: .energy(share)))
            #expect(svd.count == count)
            #expect(svd.energy(of: svd.count) >= share - 1e-6)
        }
        for (ratio, count) in [(1.9, 2), (2.1, 3), (100.0, 14)] {
            #expect(try SVD.randomized(of: a, options: .init(target: .ratio(ratio))).count == count)
        }
        #expect(try SVD.randomized(of: a, options: .init(target: .energy(0.9999), limit: 5)).count == 5)
    }

    /// A flat spectrum has no low rank: the space grows until the full decomposition is taken.
    @Test func energyOfAFlatSpectrum() throws {
        let a = Matrices.random(300, 280, seed: 3)
        let full = try SVD.full(of: a)
        let wanted = (1...280).first { full.energy(of: $0) >= 0.9 }
        let svd = try SVD.randomized(of: a, options: .init(target: .energy(0.9)))
        #expect(svd.count == wanted)
    }

    @Test func valuesBelowTheFloorAreNoise() throws {
        let a = try Matrices.planted(512, 384, values: [5, 4, 3], noise: 0.01, seed: 4)
        let floor = 0.01 * (Double(512).squareRoot() + Double(384).squareRoot()) * 1.05
        for target in [SpectrumTarget.count(64), .energy(0.99999), .ratio(1e6)] {
            let svd = try SVD.randomized(of: a, options: .init(target: target, floor: floor))
            #expect(svd.count == 3)
        }
    }

    @Test func bitsDoNotDependOnThreads() throws {
        let a = try Matrices.planted(1111, 777, values: Self.decay(90, 1), noise: 1e-3, seed: 6)
        let saved = Parallel.threadCount
        defer { Parallel.threadCount = saved }
        var found: [SVD] = []
        for threads in [1, 2, 5] {
            Parallel.threadCount = threads
            found.append(try SVD.randomized(of: a, options: .init(target: .count(80), seed: 7)))
        }
        for svd in found.dropFirst() {
            #expect(svd.values == found[0].values)
            #expect(svd.u.values == found[0].u.values && svd.v.values == found[0].v.values)
        }
        let other = try SVD.randomized(of: a, options: .init(target: .count(80), seed: 8))
        #expect(other.u.values != found[0].u.values)
    }

    @Test func largestEntryOfEachRightVectorIsPositive() throws {
        let a = try Matrices.planted(400, 300, values: Self.decay(40, 1), seed: 8)
        for svd in [try SVD.full(of: a), try SVD.randomized(of: a, options: .init(target: .count(20)))] {
            for column in 0..<svd.count {
                let entries = (0..<svd.v.rows).map { svd.v.pointer[$0 * svd.count + column] }
                #expect(try #require(entries.max { $0.magnitude < $1.magnitude }) > 0)
            }
        }
    }

    @Test func zerosAndTheSmallest() throws {
        for (rows, columns) in [(300, 400), (1, 1), (0, 5), (5, 0)] {
            let svd = try SVD.randomized(of: Matrix(rows: rows, columns: columns), options: .init(target: .count(8)))
            #expect(svd.count == 0 && svd.u.rows == rows && svd.v.rows == columns && svd.energy(of: 0) == 1)
        }
        let one = try SVD.randomized(
            of: Matrix(rows: 1, columns: 2, values: [-3, 4]), options: .init(target: .count(8)))
        #expect(one.count == 1 && (one.values[0] - 5).magnitude < 1e-6 && one.v.values[1] > 0)
    }

    /// Neither squares of large numbers nor those of tiny ones leave what float32 can hold.
    @Test(arguments: [Float(1e-30), 1e-12, 1e25]) func scales(factor: Float) throws {
        let a = try Matrices.planted(400, 333, values: [3, 2, 1], seed: 10)
        for index in 0..<a.count { a.pointer[index] *= factor }
        let svd = try SVD.randomized(of: a, options: .init(target: .count(8)))
        #expect(svd.count == 3)
        #expect((svd.values[2] / factor - 1).magnitude < 1e-5)
    }

    @Test(arguments: [Float.nan, .infinity]) func notFinite(value: Float) throws {
        let a = Matrices.random(300, 270, seed: 11)
        a.pointer[5 * 270 + 7] = value
        for body in [
            { try SVD.full(of: a, place: "here", item: "weight") },
            {
                try SVD.randomized(of: a, options: .init(target: .count(4)), place: "here", item: "weight")
            },
        ] {
            let error = try #require(throws: CrayonError.self) { _ = try body() }
            #expect(error.code == .notFinite && error.place == "here" && error.item == "weight")
            #expect(error.found.contains("row 5, column 7"))
        }
    }
}

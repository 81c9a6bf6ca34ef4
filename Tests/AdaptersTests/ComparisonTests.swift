import Adapters
import Architecture
import Bytes
import Foundation
import Tensors
import Testing

/// Made-up pairs, and what they add to a weight, worked out number by number.
enum MadeUp {
    static func module(_ path: String, rank: Int, out: Int = 6, input: Int = 5, seed: UInt64, alpha: Double = 3)
        -> AdapterModule
    {
        var generator = SplitMix64(seed: seed, name: path)
        func tensor(_ dims: [Int]) -> AdapterFactor {
            let values = (0..<dims[0] * dims[1]).map { _ in Float(generator.uniform() * 2 - 1) }
            return AdapterFactor(Tensor(name: path, shape: Shape(dims), values: values))
        }
        return AdapterModule(path: path, rank: rank, alpha: alpha, a: tensor([rank, input]), b: tensor([out, rank]))
    }

    static func adapter(_ name: String, _ modules: [AdapterModule]) -> Adapter {
        Adapter(name: name, place: name, modules: modules)
    }

    static func values(_ factor: AdapterFactor) throws -> [Float] {
        let tensor = try factor.tensor()
        let bytes = tensor.region.buffer
        return (0..<tensor.shape.count).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }

    static func delta(_ module: AdapterModule) throws -> [Double] {
        let a = try values(module.a).map(Double.init)
        let b = try values(module.b).map(Double.init)
        let (out, input) = (module.b.shape[0], module.a.shape[1])
        var delta = [Double](repeating: 0, count: out * input)
        for row in 0..<out {
            for column in 0..<input {
                for k in 0..<module.rank {
                    delta[row * input + column] += b[row * module.rank + k] * a[k * input + column] * module.scale
                }
            }
        }
        return delta
    }
}

@Suite struct ComparisonTests {
    @Test func agreesWithTheDeltas() throws {
        let one = MadeUp.adapter(
            "one", [MadeUp.module("m.0.q", rank: 3, seed: 1), MadeUp.module("m.1.q", rank: 2, seed: 2)])
        let two = MadeUp.adapter(
            "two", [MadeUp.module("m.0.q", rank: 2, seed: 3), MadeUp.module("m.2.q", rank: 2, seed: 4)])
        let comparison = try AdapterComparison(one, two)
        let a = try MadeUp.delta(one.modules[0])
        let b = try MadeUp.delta(two.modules[0])
        let dot = zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
        let norms = [a, b].map { $0.reduce(0) { $0 + $1 * $1 }.squareRoot() }
        let difference = zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
        let measures = try #require(comparison.modules.first).measures
        #expect(comparison.modules.map(\.path) == ["m.0.q"])
        #expect(abs(measures.firstNorm - norms[0]) < 1e-12 && abs(measures.secondNorm - norms[1]) < 1e-12)
        #expect(abs(measures.cosine - dot / (norms[0] * norms[1])) < 1e-12)
        #expect(abs(measures.relativeDifference - difference / norms[0]) < 1e-12)
        #expect(comparison.onlyInFirst.map(\.path) == ["m.1.q"] && comparison.onlyInSecond.map(\.path) == ["m.2.q"])
        let alone = try MadeUp.delta(one.modules[1]).reduce(0) { $0 + $1 * $1 }
        #expect(abs(comparison.onlyInFirst[0].norm - alone.squareRoot()) < 1e-12)
        #expect(abs(comparison.total.firstNorm - (norms[0] * norms[0] + alone).squareRoot()) < 1e-12)
    }

    @Test func equalAndOpposite() throws {
        let one = MadeUp.adapter("one", [MadeUp.module("m.0.q", rank: 3, seed: 1)])
        #expect(try AdapterComparison(one, one).total.relativeDifference == 0)
        var two = one
        two.modules[0].alpha = -3
        let comparison = try AdapterComparison(one, two)
        #expect(abs(comparison.total.cosine + 1) < 1e-12 && abs(comparison.total.relativeDifference - 2) < 1e-12)
    }

    @Test func refusesWhatHasNoCommonWeight() throws {
        let one = MadeUp.adapter("one", [MadeUp.module("m.0.q", rank: 3, seed: 1)])
        let two = MadeUp.adapter("two", [MadeUp.module("m.0.q", rank: 3, out: 7, seed: 1)])
        let error = crayonError { _ = try AdapterComparison(one, two) }
        #expect(error?.description.contains("module 'm.0.q': a pair for a weight of [7, 5]; expected [6, 5]") == true)
        var three = one
        three.scope = .image
        #expect(crayonError { _ = try AdapterComparison(one, three) }?.description.contains("image positions") == true)
    }

    @Test func summaries() throws {
        let summary = AdapterSummary(try PEFTFolder.read(path: Samples.path(valid: "dora")))
        #expect(summary.ranks == [2] && summary.scales == [3] && summary.modules == ["q_proj", "v_proj"])
        #expect(summary.layers == [0, 1] && summary.pairCount == 4 && summary.hasMagnitudes && summary.canMerge)
        // Per layer: 2 x 8 and 8 x 2 and 8, 2 x 8 and 4 x 2 and 4.
        #expect(
            summary.parameterCount == 2 * (16 + 16 + 8 + 16 + 8 + 4) && summary.byteCount == 4 * summary.parameterCount)
    }
}

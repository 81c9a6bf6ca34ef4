import Bytes
import Inference
import Testing

@Suite struct SamplerTests {
    /// Probabilities 0.1, 0.4, 0.2, 0.3 at temperature 1.
    static let logits: [Float] = [0.1, 0.4, 0.2, 0.3].map { Float(log10($0)) * 2.302_585_1 }

    static func log10(_ x: Double) -> Double {
        // By the series of atanh, so that the test does not lean on the code's own functions.
        let z = (x - 1) / (x + 1)
        var (term, sum) = (z, 0.0)
        for k in stride(from: 1.0, to: 400, by: 2) {
            sum += term / k
            term *= z * z
        }
        return 2 * sum / 2.302_585_092_994_046
    }

    func distribution(
        _ options: SamplingOptions, logits: [Float] = logits, seen: [Int] = []
    ) throws -> [(token: Int, probability: Double)] {
        var sampler = try Sampler(options)
        sampler.observe(seen)
        return try logits.withUnsafeBufferPointer { try sampler.distribution($0) }
    }

    func expect(_ found: [(token: Int, probability: Double)], _ expected: [(Int, Double)]) {
        #expect(found.map(\.token) == expected.map(\.0))
        for (a, b) in zip(found, expected) { #expect(abs(a.probability - b.1) < 1e-6) }
    }

    @Test func temperatureOneIsSoftmax() throws {
        expect(try distribution(SamplingOptions(temperature: 1)), [(1, 0.4), (3, 0.3), (2, 0.2), (0, 0.1)])
    }

    @Test func halfTemperatureSquares() throws {
        // 0.16, 0.09, 0.04, 0.01 over 0.3
        expect(
            try distribution(SamplingOptions(temperature: 0.5)),
            [(1, 0.16 / 0.3), (3, 0.3), (2, 0.04 / 0.3), (0, 0.01 / 0.3)])
    }

    @Test func topK() throws {
        expect(try distribution(SamplingOptions(temperature: 1, topK: 2)), [(1, 4.0 / 7), (3, 3.0 / 7)])
        expect(try distribution(SamplingOptions(temperature: 1, topK: 1)), [(1, 1)])
        #expect(try distribution(SamplingOptions(temperature: 1, topK: 99)).count == 4)
        // The third ties with the second and stays, as in transformers.
        #expect(
            try distribution(SamplingOptions(temperature: 1, topK: 2), logits: [3, 2, 2, 1]).map(\.token) == [0, 1, 2])
    }

    @Test func topP() throws {
        // 0.4 does not reach 0.5; 0.4 + 0.3 does.
        expect(try distribution(SamplingOptions(temperature: 1, topP: 0.5)), [(1, 4.0 / 7), (3, 3.0 / 7)])
        expect(try distribution(SamplingOptions(temperature: 1, topP: 0.01)), [(1, 1)])
        #expect(try distribution(SamplingOptions(temperature: 1, topP: 1)).count == 4)
        // Among the two of top-k the first has 4/7.
        expect(try distribution(SamplingOptions(temperature: 1, topK: 2, topP: 0.55)), [(1, 1)])
    }

    @Test func repetitionPenalty() throws {
        let options = SamplingOptions(temperature: 1, repetitionPenalty: 2)
        // 2 -> 1 where it has occurred, -1 -> -2; token 9 is none of these logits.
        let found = try distribution(options, logits: [2, -1, 1], seen: [0, 1, 9])
        let weights = [2.718_281_828, 0.135_335_283, 2.718_281_828]
        let total = weights.reduce(0, +)
        expect(found, [(0, weights[0] / total), (2, weights[2] / total), (1, weights[1] / total)])
    }

    @Test func greedyTakesTheFirstOfTheBest() throws {
        var sampler = try Sampler(.greedy)
        let logits: [Float] = [1, 3, 3, -.infinity]
        #expect(try logits.withUnsafeBufferPointer { try sampler.next($0) } == 1)
    }

    @Test func drawsFollowTheDistribution() throws {
        var sampler = try Sampler(SamplingOptions(temperature: 1, topK: 3, seed: 7))
        var counts = [0, 0, 0, 0]
        for _ in 0..<20000 { counts[try Self.logits.withUnsafeBufferPointer { try sampler.next($0) }] += 1 }
        let expected = [0, 4.0 / 9, 2.0 / 9, 3.0 / 9]
        // Five standard deviations.
        for (count, share) in zip(counts, expected) { #expect(abs(Double(count) / 20000 - share) < 0.018) }
    }

    @Test func sameSeedSameTokens() throws {
        func run(_ seed: UInt64) throws -> [Int] {
            var sampler = try Sampler(SamplingOptions(temperature: 1.3, seed: seed))
            return try (0..<50).map { _ in try Self.logits.withUnsafeBufferPointer { try sampler.next($0) } }
        }
        #expect(try run(5) == run(5))
        #expect(try run(5) != run(6))
    }

    @Test(arguments: [
        SamplingOptions(temperature: -1), SamplingOptions(temperature: .nan), SamplingOptions(topK: 0),
        SamplingOptions(topP: 0), SamplingOptions(topP: 1.5), SamplingOptions(repetitionPenalty: 0),
    ])
    func senselessOptionsAreErrors(_ options: SamplingOptions) {
        #expect(throws: CrayonError.self) { _ = try Sampler(options) }
    }

    @Test(arguments: [[0, Float.nan], [-Float.infinity, -Float.infinity], [Float.infinity, 0], []])
    func logitsThatAreNoNumbersAreErrors(_ logits: [Float]) throws {
        var sampler = try Sampler(.greedy)
        #expect(throws: CrayonError.self) { try logits.withUnsafeBufferPointer { _ = try sampler.next($0) } }
    }
}

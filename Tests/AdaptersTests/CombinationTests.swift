import Adapters
import Architecture
import Bytes
import Tensors
import Testing

/// Against PEFT itself, to the bit: `Scripts/reference/adapters_against_peft.py`.
@Suite struct CombinationTests {
    private let one = MadeUp.adapter("one", [MadeUp.module("m.0.q", rank: 3, seed: 1)])
    private let two = MadeUp.adapter("two", [MadeUp.module("m.0.q", rank: 3, seed: 2, alpha: 6)])

    private func combined(
        _ method: CombinationMethod, _ weights: (Double, Double) = (0.5, -2), _ options: CombinationOptions = .init()
    ) throws -> AdapterModule {
        try AdapterCombination.combine([(one, weights.0), (two, weights.1)], method: method, options: options).modules[
            0]
    }

    @Test func catIsTheSumOfDeltas() throws {
        let third = MadeUp.adapter(
            "third", [MadeUp.module("m.0.q", rank: 1, seed: 9), MadeUp.module("m.1.q", rank: 2, seed: 9)])
        let sum = try AdapterCombination.combine([(one, 0.5), (two, -2), (third, 1)], method: .cat)
        #expect(sum.modules.map(\.path) == ["m.0.q", "m.1.q"] && sum.modules.map(\.rank) == [7, 2])
        let expected = try [(one, 0.5), (two, -2), (third, 1)].map { (adapter, weight) in
            try MadeUp.delta(adapter.modules[0]).map { $0 * weight }
        }
        for (index, value) in try MadeUp.delta(sum.modules[0]).enumerated() {
            #expect(abs(value - expected.reduce(0) { $0 + $1[index] }) < 1e-6)
        }
        #expect(sum.modules.allSatisfy { $0.scale == 1 })
    }

    @Test func linearAddsHalves() throws {
        let module = try combined(.linear)
        let a = try zip(MadeUp.values(one.modules[0].a), MadeUp.values(two.modules[0].a)).map {
            $0.0 * Float(0.5.squareRoot()) + $0.1 * -Float(4.0.squareRoot())
        }
        #expect(try MadeUp.values(module.a) == a)
        let b = try zip(MadeUp.values(one.modules[0].b), MadeUp.values(two.modules[0].b)).map {
            $0.0 * Float(0.5.squareRoot()) + $0.1 * Float(4.0.squareRoot())
        }
        #expect(try MadeUp.values(module.b) == b)
    }

    /// 15 numbers of which 6 stay: by sorting, which the product does not do.
    @Test func magnitudePruneKeepsTheLargest() throws {
        let module = try combined(.magnitudePrune, (1, 0), .init(density: 0.4))
        let values = try MadeUp.values(one.modules[0].a)
        let limit = values.map(\.magnitude).sorted(by: >)[5]
        #expect(try MadeUp.values(module.a) == values.map { $0.magnitude >= limit ? $0 : 0 })
    }

    @Test(arguments: MajoritySign.allCases)
    func tiesTakesTheMeanOfTheMajority(_ sign: MajoritySign) throws {
        let module = try combined(.ties, (1, 0.5), .init(density: 1, majoritySign: sign))
        let pairs = try zip(MadeUp.values(one.modules[0].a), MadeUp.values(two.modules[0].a))
        let expected = pairs.map { x, y -> Float in
            let vote: Float = sign == .total ? x + y : (x > 0 ? 1 : -1) + (y > 0 ? 1 : -1)
            let members = [x, y].filter { vote >= 0 ? $0 > 0 : $0 < 0 }
            return members.isEmpty ? 0 : members.reduce(0, +) / Float(members.count)
        }
        #expect(try MadeUp.values(module.a) == expected)
    }

    /// Each number stays with the chance asked for and is divided by it, the same way for the same seed.
    @Test func dareDropsAndRescales() throws {
        let wide = MadeUp.adapter("wide", [MadeUp.module("m.0.q", rank: 8, out: 64, input: 4096, seed: 5, alpha: 8)])
        let options = CombinationOptions(density: 0.3, seed: 11)
        func run(_ options: CombinationOptions) throws -> [Float] {
            let pair: [(adapter: Adapter, weight: Double)] = [(wide, 1), (wide, 0)]
            return try MadeUp.values(
                AdapterCombination.combine(pair, method: .dareLinear, options: options).modules[0].a)
        }
        let values = try MadeUp.values(wide.modules[0].a)
        let dropped = try run(options)
        let kept = dropped.count { $0 != 0 }
        // Six standard deviations of a binomial.
        let spread = 6 * (Double(values.count) * 0.3 * 0.7).squareRoot()
        #expect(abs(Double(kept) - 0.3 * Double(values.count)) < spread)
        #expect(zip(dropped, values).allSatisfy { $0 == 0 || $0 == $1 / Float(0.3) })
        #expect(try run(options) == dropped)
        #expect(try run(CombinationOptions(density: 0.3, seed: 12)) != dropped)
    }

    /// A rank that holds everything loses nothing; what is lost at a smaller one is the rest of the spectrum.
    @Test func decompositionsKeepWhatTheRankHolds() throws {
        let sum = try zip(MadeUp.delta(one.modules[0]), MadeUp.delta(two.modules[0])).map { 0.5 * $0.0 - 2 * $0.1 }
        func distance(_ method: CombinationMethod, rank: Int, to expected: [Double]) throws -> Double {
            let module = try combined(method, (0.5, -2), .init(density: method == .svd ? nil : 1, rank: rank))
            #expect(module.rank == min(rank, 5) && module.scale == 1)
            return try zip(MadeUp.delta(module), expected).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
        }
        #expect(try distance(.svd, rank: 9, to: sum) < 1e-5)
        let losses = try (1...4).map { try distance(.svd, rank: $0, to: sum) }
        #expect(zip(losses, losses.dropFirst()).allSatisfy { $0 > $1 } && losses[3] > 1e-3)
        // Signs are elected between the deltas, before their weights.
        let elected = try zip(MadeUp.delta(one.modules[0]), MadeUp.delta(two.modules[0])).map { x, y in
            let members = [(x, 0.5), (y, -2)].filter { x + y >= 0 ? $0.0 > 0 : $0.0 < 0 }
            return members.reduce(0) { $0 + $1.0 * $1.1 } / Double(max(members.count, 1))
        }
        #expect(try distance(.tiesSVD, rank: 5, to: elected) < 1e-5)
    }

    /// Either half may be asked for first, and again.
    @Test func halvesOfADecompositionBelongTogether() throws {
        let module = try combined(.svd, (1, 1), .init(rank: 2))
        let b = try MadeUp.values(module.b)
        let a = try MadeUp.values(module.a)
        #expect(try MadeUp.values(module.b) == b && MadeUp.values(module.a) == a)
    }

    @Test func refusals() throws {
        func error(_ method: CombinationMethod, _ other: Adapter, _ options: CombinationOptions = .init()) -> String {
            crayonError {
                _ = try AdapterCombination.combine([(one, 1), (other, 1)], method: method, options: options)
            }?.description ?? ""
        }
        #expect(error(.ties, two).contains("--density: nothing"))
        #expect(error(.ties, two, .init(density: 1.5)).contains("--density: 1.5"))
        #expect(error(.dareTies, two, .init(density: 0)).contains("divided by it"))
        #expect(error(.svd, two, .init(rank: 0)).contains("--rank: 0 with 'svd'"))
        #expect(error(.cat, two, .init(rank: 4)).contains("--rank: 4 with 'cat'"))
        let narrow = MadeUp.adapter("narrow", [MadeUp.module("m.0.q", rank: 2, seed: 1)])
        #expect(error(.linear, narrow).contains("narrow: module 'm.0.q': rank 2; expected 3"))
        let tall = MadeUp.adapter("tall", [MadeUp.module("m.0.q", rank: 3, out: 9, seed: 1)])
        #expect(error(.cat, tall).contains("a pair for a weight of [9, 5]; expected [6, 5]"))
        var image = two
        image.scope = .image
        #expect(error(.cat, image).contains("image positions"))
        #expect(error(.cat, try PEFTFolder.read(path: Samples.path(valid: "dora"))).contains("DoRA"))
        #expect(error(.cat, try PEFTFolder.read(path: Samples.path(valid: "pair-biases"))).contains("a bias of a pair"))
        #expect(error(.cat, try PEFTFolder.read(path: Samples.path(valid: "modules-saved"))).contains("a whole weight"))
    }

    @Test func weightsInArguments() throws {
        let path = Samples.path(valid: "plain")
        #expect(try openWeightedAdapter(path).weight == 1 && openWeightedAdapter(path + "=-0.25").weight == -0.25)
        #expect(
            crayonError { _ = try openWeightedAdapter(path + "=half") }?.description.contains("weight: 'half'") == true)
    }
}

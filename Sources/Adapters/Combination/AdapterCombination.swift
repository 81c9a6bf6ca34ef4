import Architecture
public import Bytes
import Tensors

/// Several adapters as one.
public enum AdapterCombination {
    /// Combines adapters, each with a weight; numbers are computed when they are asked for, a module at a time.
    ///
    /// The result's scale is 1: weights and scales go into its numbers, as PEFT has it. (With `use_rslora` PEFT keeps the flag, and so
    /// multiplies its result by the square root of the rank; here it is 1 then too.) A module that only some have is combined
    /// from those. A single adapter is combined by `linear` whatever the method, but for `cat`.
    /// - Throws: `CrayonError` for an option that makes no sense, adapters that do not act alike, ranks or shapes of one module
    ///   that differ where they must not, and what has no sum: DoRA's magnitudes, biases of pairs, whole weights.
    public static func combine(
        _ adapters: [(adapter: Adapter, weight: Double)], method: CombinationMethod,
        options: CombinationOptions = CombinationOptions(), name: String = "combined"
    ) throws(CrayonError) -> Adapter {
        try check(adapters, method, options)
        guard let first = adapters.first?.adapter else { preconditionFailure("checked") }
        var members: [String: [Member]] = [:]
        for (adapter, weight) in adapters {
            for module in adapter.modules {
                members[module.path, default: []].append(
                    Member(module: module, weight: weight, place: adapter.place))
            }
        }
        var modules: [AdapterModule] = []
        let method = adapters.count == 1 && method != .cat ? .linear : method
        let rank = options.rank ?? adapters.flatMap { $0.adapter.modules.map(\.rank) }.max() ?? 1
        for path in members.keys.sorted(by: ModuleOrder.precedes) {
            let members = members[path] ?? []
            try check(members)
            let arithmetic = TaskArithmetic(method: method, options: options)
            if method == .cat {
                modules.append(concatenation(members))
            } else if method.decomposes {
                modules.append(decomposition(members, arithmetic, rank: rank))
            } else {
                modules.append(try sum(members, arithmetic))
            }
        }
        return Adapter(
            name: name, place: first.place, scope: first.scope, input: first.input, modules: modules,
            baseName: first.baseName,
            checkUnchanged: { () throws(CrayonError) in
                for (adapter, _) in adapters { try adapter.checkUnchanged() }
            })
    }

    /// One adapter's pair at a module.
    struct Member: Sendable {
        let module: AdapterModule
        let weight: Double
        let place: String
    }

    private static func check(
        _ adapters: [(adapter: Adapter, weight: Double)], _ method: CombinationMethod, _ options: CombinationOptions
    ) throws(CrayonError) {
        guard let first = adapters.first?.adapter else {
            throw CrayonError(.usage, in: "adapters", found: "none", expected: "at least one")
        }
        if let density = options.density {
            guard (0...1).contains(density) else {
                throw CrayonError(
                    .usage, in: "--density", found: "\(density)", expected: "0 to 1, the share that stays")
            }
        } else if method.pruning != .none, adapters.count > 1 {
            throw CrayonError(
                .usage, in: "--density", found: "nothing", expected: "0 to 1, the share that '\(method.rawValue)' keeps"
            )
        }
        if method.pruning == .random, options.density == 0 {
            throw CrayonError(
                .usage, in: "--density", found: "0", expected: "above 0: what stays is divided by it")
        }
        if let rank = options.rank {
            guard rank > 0, method.decomposes else {
                throw CrayonError(
                    .usage, in: "--rank", found: "\(rank) with '\(method.rawValue)'",
                    expected: "above 0, with a method that decomposes, such as 'svd'")
            }
        }
        for (adapter, weight) in adapters {
            func refuse(_ item: String, _ found: String, _ expected: String) -> CrayonError {
                CrayonError(
                    .unsupported, in: adapter.place, item: item, found: found, expected: expected,
                    advice: "Merge the adapters one after the other instead.")
            }
            guard weight.isFinite else {
                throw CrayonError(.usage, in: adapter.place, item: "weight", found: "\(weight)", expected: "a number")
            }
            guard adapter.scope == first.scope, adapter.input == first.input else {
                throw refuse(
                    "set '\(adapter.name)'",
                    "pairs at \(adapter.scope.rawValue) positions on \(adapter.input.rawValue)",
                    "\(first.scope.rawValue) positions on \(first.input.rawValue), as '\(first.name)' has them")
            }
            if let module = adapter.modules.first(where: { $0.magnitude != nil }) {
                throw refuse("module '\(module.path)'", "DoRA, whose magnitudes have no sum", "plain pairs")
            }
            if let module = adapter.modules.first(where: { $0.bias != nil }) {
                throw refuse("module '\(module.path)'", "a bias of a pair", "plain pairs")
            }
            if let replacement = adapter.replacements.first {
                throw refuse("tensor '\(replacement.name)'", "a whole weight, which has no sum", "pairs alone")
            }
        }
    }

    private static func check(_ members: [Member]) throws(CrayonError) {
        for member in members.dropFirst() {
            let (first, other) = (members[0].module, member.module)
            guard first.weightShape == other.weightShape, first.kind == other.kind,
                first.isTransposed == other.isTransposed
            else {
                throw CrayonError(
                    .mismatch, in: member.place, item: "module '\(other.path)'",
                    found: "a pair for a weight of \(other.weightShape)",
                    expected: "\(first.weightShape), as in \(members[0].place)",
                    advice: "They belong to different bases.")
            }
        }
    }

    /// The deltas' sum: halves beside each other, weight and scale in A.
    private static func concatenation(_ members: [Member]) -> AdapterModule {
        let rank = members.reduce(0) { $0 + $1.module.rank }
        return result(
            members, rank: rank,
            a: { () throws(CrayonError) in
                var values: [Float] = []
                for member in members {
                    // Two roundings, as PEFT has them.
                    values +=
                        FactorNumbers(try member.module.a.tensor()).multiplied(by: Float(member.weight))
                        .multiplied(by: Float(member.module.scale)).values
                }
                return FactorNumbers(rows: rank, columns: members[0].module.a.shape[1], values: values)
            },
            b: { () throws(CrayonError) in
                var rows: [Float] = []
                for member in members { rows += FactorNumbers(try member.module.b.tensor()).transposed().values }
                return FactorNumbers(rows: rank, columns: members[0].module.b.shape[0], values: rows).transposed()
            })
    }

    /// The halves' own sums, each with the root of weight and scale; the sign goes into A.
    private static func sum(_ members: [Member], _ arithmetic: TaskArithmetic) throws(CrayonError) -> AdapterModule {
        let rank = members[0].module.rank
        for member in members where member.module.rank != rank {
            throw CrayonError(
                .mismatch, in: member.place, item: "module '\(member.module.path)'",
                found: "rank \(member.module.rank)",
                expected: "\(rank), as in \(members[0].place), for '\(arithmetic.method.rawValue)'",
                advice: "'cat' takes adapters of any rank.")
        }
        let weights = members.map { $0.weight * $0.module.scale }
        let roots = weights.map { abs($0).squareRoot() }
        let path = members[0].module.path
        return result(
            members, rank: rank,
            a: { () throws(CrayonError) in
                var halves: [FactorNumbers] = []
                for member in members { halves.append(FactorNumbers(try member.module.a.tensor())) }
                let signed = zip(weights, roots).map { weight, root in Float(weight >= 0 ? root : -root) }
                return arithmetic.combine(halves, weights: signed, name: path + ".a")
            },
            b: { () throws(CrayonError) in
                var halves: [FactorNumbers] = []
                for member in members { halves.append(FactorNumbers(try member.module.b.tensor())) }
                return arithmetic.combine(halves, weights: roots.map { Float($0) }, name: path + ".b")
            })
    }

    /// The sum of the deltas, or what pruning leaves of it, cut to a rank.
    private static func decomposition(_ members: [Member], _ arithmetic: TaskArithmetic, rank: Int) -> AdapterModule {
        let first = members[0].module
        let rank = min(rank, first.b.shape[0], first.a.shape[1])
        let sum = DecomposedSum(members, arithmetic, rank: rank)
        return result(
            members, rank: rank, a: { () throws(CrayonError) in try sum.half(.a) },
            b: { () throws(CrayonError) in try sum.half(.b) })
    }

    private static func result(
        _ members: [Member], rank: Int, a: @escaping @Sendable () throws(CrayonError) -> FactorNumbers,
        b: @escaping @Sendable () throws(CrayonError) -> FactorNumbers
    ) -> AdapterModule {
        let first = members[0].module
        func factor(
            _ name: String, _ shape: [Int], _ numbers: @escaping @Sendable () throws(CrayonError) -> FactorNumbers
        )
            -> AdapterFactor
        {
            AdapterFactor(name: name, type: .f32, shape: Shape(shape)) { () throws(CrayonError) in
                try numbers().tensor(named: name)
            }
        }
        return AdapterModule(
            path: first.path, kind: first.kind, rank: rank, alpha: Double(rank),
            a: factor(first.a.name, [rank, first.a.shape[1]], a),
            b: factor(first.b.name, [first.b.shape[0], rank], b), isTransposed: first.isTransposed)
    }
}

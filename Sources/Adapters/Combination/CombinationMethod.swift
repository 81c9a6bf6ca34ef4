/// How several adapters become one, by the names of PEFT's `add_weighted_adapter`, whose results these are.
///
/// `cat` is the sum of the deltas exactly. `linear` and its kin combine the halves and so add cross terms of different
/// adapters; the `_svd` ones combine the deltas and keep what a rank can hold of the result.
public enum CombinationMethod: String, CaseIterable, Sendable {
    case cat
    case linear
    case ties
    case dareLinear = "dare_linear"
    case dareTies = "dare_ties"
    case magnitudePrune = "magnitude_prune"
    case svd
    case tiesSVD = "ties_svd"
    case dareLinearSVD = "dare_linear_svd"
    case dareTiesSVD = "dare_ties_svd"
    case magnitudePruneSVD = "magnitude_prune_svd"

    /// What happens to each adapter's numbers before they are added.
    enum Pruning {
        case none
        /// The largest stay.
        case magnitude
        /// Each stays with a chance of `density`, divided by it (Yu et al. 2023, DARE).
        case random
    }

    var pruning: Pruning {
        switch self {
        case .cat, .linear, .svd: .none
        case .ties, .magnitudePrune, .tiesSVD, .magnitudePruneSVD: .magnitude
        case .dareLinear, .dareTies, .dareLinearSVD, .dareTiesSVD: .random
        }
    }

    /// Whether only numbers of the sign that most have are added, and their mean taken (Yadav et al. 2023, TIES).
    var electsSigns: Bool {
        switch self {
        case .ties, .dareTies, .tiesSVD, .dareTiesSVD: true
        default: false
        }
    }

    /// Whether deltas are combined, and the result decomposed, in place of the halves.
    var decomposes: Bool {
        switch self {
        case .svd, .tiesSVD, .dareLinearSVD, .dareTiesSVD, .magnitudePruneSVD: true
        default: false
        }
    }
}

/// How the sign of the majority is found.
public enum MajoritySign: String, CaseIterable, Sendable {
    /// The sign of the sum.
    case total
    /// The sign that occurs more often.
    case frequency
}

public struct CombinationOptions: Sendable {
    /// The share of numbers that pruning keeps, 0 to 1; the methods that prune need it.
    public var density: Double?
    public var majoritySign: MajoritySign
    /// Of the result, for the methods that decompose; by default the largest of the adapters'.
    public var rank: Int?
    /// Of the random masks. They are drawn by `SplitMix64` for each adapter and half by name, not by PyTorch's generator, whose
    /// state in PEFT depends on what was drawn before.
    public var seed: UInt64

    public init(
        density: Double? = nil, majoritySign: MajoritySign = .total, rank: Int? = nil, seed: UInt64 = 0
    ) {
        self.density = density
        self.majoritySign = majoritySign
        self.rank = rank
        self.seed = seed
    }
}

/// A named set of low-rank pairs over the backbone's linear layers: `y += scale * b(a(input))`.
public struct LowRankSet: Codable, Equatable, Sendable {
    public var name: String
    public var rank: Int
    public var alpha: Double
    /// `alpha / sqrt(rank)` instead of `alpha / rank` (Kalajdzievski 2023).
    public var isRankStabilized: Bool
    /// The modules at which the pairs act. A file may carry further pairs, kept but without effect.
    public var modules: [BackboneModule]
    public var scope: Scope
    public var input: Input
    public var isActive: Bool
    /// Ranks and alphas that differ from the set's own, by `layers.N.<module>`.
    public var exceptions: [String: Exception]

    public struct Exception: Codable, Equatable, Sendable {
        public var rank: Int
        public var alpha: Double
        public init(rank: Int, alpha: Double) {
            self.rank = rank
            self.alpha = alpha
        }
    }

    /// The positions that the pairs act at.
    public enum Scope: String, Codable, Sendable {
        case all
        case image
    }

    /// What the pairs read.
    public enum Input: String, Codable, Sendable {
        /// What the linear layer itself reads.
        case hidden
        /// The crayon prompt; only at image positions.
        case crayon
    }

    public init(
        name: String, rank: Int, alpha: Double, isRankStabilized: Bool = false, modules: [BackboneModule],
        scope: Scope, input: Input, isActive: Bool = true, exceptions: [String: Exception] = [:]
    ) {
        self.name = name
        self.rank = rank
        self.alpha = alpha
        self.isRankStabilized = isRankStabilized
        self.modules = modules
        self.scope = scope
        self.input = input
        self.isActive = isActive
        self.exceptions = exceptions
    }

    /// Whether a set may have the name: letters, digits, `-` and `_`. One with a dot would read as more of a role than the name.
    public static func isName(_ name: String) -> Bool {
        !name.isEmpty
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }

    public func rank(layer: Int, module: BackboneModule) -> Int {
        exceptions["layers.\(layer).\(module.rawValue)"]?.rank ?? rank
    }

    public func scale(layer: Int, module: BackboneModule) -> Float {
        let exception = exceptions["layers.\(layer).\(module.rawValue)"]
        let rank = Double(exception?.rank ?? rank)
        let alpha = exception?.alpha ?? alpha
        return Float(isRankStabilized ? alpha / rank.squareRoot() : alpha / rank)
    }
}

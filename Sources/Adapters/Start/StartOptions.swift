import JSON
public import Tensors

/// How pairs are begun, and what they begin with.
public struct StartOptions: Sendable {
    public enum Method: String, CaseIterable, Sendable {
        /// NF4 of W less the pair and the pair of what NF4 leaves take turns, NF4 first (Li et al., arXiv 2310.08659).
        case loftq
        /// The same turns, begun with the pair of W itself: its main directions train (Meng et al., arXiv 2404.02948).
        case qpissa
        /// PEFT's default: A uniform, B zero; weights stay as they are.
        case gaussian

        /// Whether the weights change too.
        public var absorbsError: Bool { self != .gaussian }
    }

    public var method: Method
    public var rank: Int
    /// Turns of LoftQ and QPiSSA.
    public var iterations = 5
    /// Of the factors: F32, F16 or BF16.
    public var type = ElementType.f32
    public var seed: UInt64 = 0
    /// The set's name in the bundle.
    public var set = "start"
    /// A regular expression that a module's path must contain; nil for every linear layer of the blocks.
    public var modules: String?

    public init(method: Method, rank: Int) {
        self.method = method
        self.rank = rank
    }

    var fingerprint: JSONObject {
        JSONObject([
            "method": .string(method.rawValue), "rank": .int(rank), "iterations": .int(iterations),
            "type": .string(type.rawValue), "seed": .string(String(seed)), "set": .string(set),
            "modules": modules.map { .string($0) } ?? .null,
        ])
    }
}

/// What a start was measured to be.
public struct StartReport: Codable, Equatable, Sendable {
    public struct Layer: Codable, Equatable, Sendable {
        public var module: String
        public var rank: Int
        /// |W - NF4(W)| / |W|
        public var plainError: Double
        /// |W - (Q + B A)| / |W|
        public var error: Double
        /// What the pair leaves of the error that quantization alone makes.
        public var ratio: Double { plainError > 0 ? error / plainError : 1 }
        /// |W|
        public var norm: Double
        public var seconds: Double
    }

    public var bundle: String
    public var source: String?
    public var output: String
    public var method: String
    public var layers: [Layer] = []

    /// The ratio over all layers.
    public var ratio: Double {
        func squares(_ value: (Layer) -> Double) -> Double {
            layers.reduce(0) { $0 + value($1) * value($1) * $1.norm * $1.norm }
        }
        let plain = squares(\.plainError)
        return plain > 0 ? (squares(\.error) / plain).squareRoot() : 1
    }
}

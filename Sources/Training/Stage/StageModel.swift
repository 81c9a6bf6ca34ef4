public import Architecture
public import BundleFormat
public import Bytes
public import Checkpoints
public import Quantization
import Tensors

/// A bundle about to learn: its weights, and the fresh low-rank sets of a stage, which no file holds yet.
public struct StageModel: ModelSource {
    public let base: BundleReader
    public let configuration: ModelConfiguration
    /// Names of the sets that the bundle did not have.
    public let freshSets: [String]
    private let fresh: [Role: StoredWeight]

    /// A low-rank set to begin with: over all tokens, reading what the linear layers read.
    public struct FreshSet: Sendable, Equatable, Codable {
        public var name: String
        public var rank: Int
        public var alpha: Double
        public var isRankStabilized: Bool
        /// Nil for every linear layer of the blocks.
        public var modules: [BackboneModule]?

        public init(
            name: String, rank: Int = 64, alpha: Double = 64, isRankStabilized: Bool = false,
            modules: [BackboneModule]? = nil
        ) {
            self.name = name
            self.rank = rank
            self.alpha = alpha
            self.isRankStabilized = isRankStabilized
            self.modules = modules
        }
    }

    /// - Parameters:
    ///   - sets: those that the bundle does not have are begun, as PEFT begins them: a uniform in
    ///     +-1 / sqrt(in) (Kaiming with a = sqrt 5), b zero, so that the model is at first what it was. Those that it has
    ///     go on from where they are.
    ///   - active: the sets that act; nil for those that do in the bundle, and the ones begun.
    ///   - seed: each tensor is drawn by its name.
    /// - Throws: `CrayonError` for a set that no bundle can hold, and for an active set that does not exist.
    public init(
        _ base: BundleReader, sets: [FreshSet], active: [String]? = nil, seed: UInt64
    ) throws(CrayonError) {
        self.base = base
        var configuration = base.configuration
        let backbone = configuration.backbone
        var fresh: [Role: StoredWeight] = [:]
        var names: [String] = []
        for set in sets where !configuration.lowRankSets.contains(where: { $0.name == set.name }) {
            try Self.check(set, backbone)
            let modules = set.modules.map { chosen in backbone.modules.filter(chosen.contains) } ?? backbone.modules
            configuration.lowRankSets.append(
                LowRankSet(
                    name: set.name, rank: set.rank, alpha: set.alpha, isRankStabilized: set.isRankStabilized,
                    modules: modules, scope: .all, input: .hidden))
            names.append(set.name)
            for layer in 0..<backbone.layerCount {
                for module in modules {
                    let (out, input) = backbone.extents(of: module)
                    let a = Role.adapter(set.name, layer, module, .a)
                    let b = Role.adapter(set.name, layer, module, .b)
                    fresh[a] = .dense(Self.uniform(a, rows: set.rank, columns: input, seed: seed))
                    fresh[b] = .dense(
                        Matrix(rows: out, columns: set.rank).tensor(named: b.rawValue, shape: Shape([out, set.rank])))
                }
            }
        }
        if let active {
            let known = configuration.lowRankSets.map(\.name)
            if let name = active.first(where: { !known.contains($0) }) {
                throw CrayonError(
                    .usage, in: base.place, item: "low-rank set '\(name)'", found: "no such set",
                    expected: known.isEmpty ? "none" : "one of \(known.joined(separator: ", "))")
            }
            for index in configuration.lowRankSets.indices {
                configuration.lowRankSets[index].isActive = active.contains(configuration.lowRankSets[index].name)
            }
        }
        self.configuration = configuration
        self.fresh = fresh
        freshSets = names
    }

    public var place: String { base.place }
    public var files: [AuxiliaryFile] { base.files }
    public func checkUnchanged() throws(CrayonError) { try base.checkUnchanged() }

    public func weight(_ role: Role) throws(CrayonError) -> StoredWeight? {
        if let weight = fresh[role] { return weight }
        return try base.weight(role)
    }

    private static func check(_ set: FreshSet, _ backbone: BackboneConfiguration) throws(CrayonError) {
        guard LowRankSet.isName(set.name) else {
            throw CrayonError(
                .usage, in: "set name", found: "'\(set.name)'", expected: "letters, digits, '-' and '_'")
        }
        let modules = set.modules.map { chosen in backbone.modules.filter(chosen.contains) } ?? backbone.modules
        guard !modules.isEmpty else {
            throw CrayonError(
                .usage, in: "set '\(set.name)'", item: "modules", found: "none that the backbone has",
                expected: "some of " + backbone.modules.map(\.rawValue).joined(separator: ", "))
        }
        let most = modules.map { min(backbone.extents(of: $0).0, backbone.extents(of: $0).1) }.min() ?? 0
        guard set.rank > 0, set.rank <= most else {
            throw CrayonError(
                .usage, in: "set '\(set.name)'", item: "rank", found: "\(set.rank)", expected: "1 to \(most)")
        }
        guard set.alpha.isFinite, set.alpha > 0 else {
            throw CrayonError(
                .usage, in: "set '\(set.name)'", item: "alpha", found: "\(set.alpha)", expected: "a positive number")
        }
    }

    private static func uniform(_ role: Role, rows: Int, columns: Int, seed: UInt64) -> Tensor {
        var generator = SplitMix64(seed: seed, name: role.rawValue)
        let bound = 1 / Double(columns).squareRoot()
        let matrix = Matrix(rows: rows, columns: columns)
        for index in 0..<matrix.count { matrix.pointer[index] = Float((generator.uniform() * 2 - 1) * bound) }
        return matrix.tensor(named: role.rawValue, shape: Shape([rows, columns]))
    }
}

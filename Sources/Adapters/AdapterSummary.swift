import Architecture
import Bytes
import Checkpoints
import Tensors

/// What an adapter consists of, without its numbers.
public struct AdapterSummary: Codable, Sendable, Equatable {
    public var name: String
    public var place: String
    /// `all` or `image`.
    public var scope: String
    /// `hidden` or `crayon`.
    public var input: String
    /// Each that occurs, ascending.
    public var ranks: [Int]
    public var alphas: [Double]
    public var scales: [Double]
    /// The last words of the modules' paths, each once: `q_proj`.
    public var modules: [String]
    public var pairCount: Int
    public var layers: [Int]
    /// Numbers in the pairs and beside them.
    public var parameterCount: Int
    /// Bytes of these in their own types.
    public var byteCount: Int
    public var types: [String]
    public var hasMagnitudes: Bool
    public var hasPairBiases: Bool
    /// Tensors that stand in the place of the base's.
    public var replacements: [String]
    /// What its files say that it was trained on.
    public var baseName: String?
    public var canMerge: Bool
    /// Why it cannot be merged.
    public var reason: String?

    public init(_ adapter: Adapter) {
        name = adapter.name
        place = adapter.place
        scope = adapter.scope.rawValue
        input = adapter.input.rawValue
        let modules = adapter.modules
        ranks = Set(modules.map(\.rank)).sorted()
        alphas = Set(modules.map(\.alpha)).sorted()
        scales = Set(modules.map(\.scale)).sorted()
        var seen: Set<String> = []
        self.modules = modules.map { Layout.plainModule($0.path) ?? $0.path }
            .map { $0.split(separator: ".").last.map(String.init) ?? $0 }
            .filter { seen.insert($0).inserted }
        pairCount = modules.count
        layers = Set(modules.compactMap { ModuleOrder.template($0.path).layer }).sorted()
        let vectors =
            modules.flatMap { [$0.magnitude, $0.bias].compactMap { $0 } } + adapter.replacements.map(\.tensor)
        let halves = modules.flatMap { [$0.a, $0.b] }
        parameterCount =
            halves.reduce(0) { $0 + $1.shape.count } + vectors.reduce(0) { $0 + $1.shape.count }
        byteCount =
            halves.reduce(0) { $0 + $1.shape.count * $1.type.byteCount } + vectors.reduce(0) { $0 + $1.region.count }
        types = Set(halves.map(\.type.rawValue) + vectors.map(\.type.rawValue)).sorted()
        hasMagnitudes = modules.contains { $0.magnitude != nil }
        hasPairBiases = modules.contains { $0.bias != nil }
        replacements = adapter.replacements.map(\.name)
        baseName = adapter.baseName
        reason = adapter.reasonAgainstMerging
        canMerge = reason == nil
    }
}

public import Architecture
public import Bytes
public import Checkpoints

/// What can learn, as a user names it.
public enum LearnablePart: Sendable, Hashable {
    /// Semantic and numbering table.
    case crayon
    case projectors
    /// The image projector alone, or the crayon projector alone.
    case projector(Projector)
    /// Low-rank pairs: of all active sets, or of one.
    case adapters(set: String?)

    /// - Parameter text: `crayon`, `projectors`, `projectors.image`, `projectors.crayon`, `adapters` or `adapters:SET`.
    /// - Throws: `CrayonError` for anything else.
    public init(_ text: String) throws(CrayonError) {
        switch text {
        case "crayon": self = .crayon
        case "projectors": self = .projectors
        case "projectors.image": self = .projector(.image)
        case "projectors.crayon": self = .projector(.crayon)
        case "adapters": self = .adapters(set: nil)
        case let text where text.hasPrefix("adapters:") && LowRankSet.isName(String(text.dropFirst(9))):
            self = .adapters(set: String(text.dropFirst(9)))
        default:
            throw CrayonError(
                .usage, in: "what learns", found: "'\(text)'",
                expected: "crayon, projectors, projectors.image, projectors.crayon, adapters or adapters:SET")
        }
    }

    public var description: String {
        switch self {
        case .crayon: "crayon"
        case .projectors: "projectors"
        case .projector(let projector): "projectors.\(projector.rawValue)"
        case .adapters(nil): "adapters"
        case .adapters(let set?): "adapters:\(set)"
        }
    }

    /// The weights that the part consists of in a model, in the order of its parameters. Pairs that do not act are no part.
    /// - Throws: `CrayonError` when there are none.
    public func roles(
        of configuration: ModelConfiguration, activeSets: [String], in place: String
    ) throws(CrayonError) -> [Role] {
        let sets =
            switch self {
            case .adapters(let set?): [set]
            default: activeSets
            }
        if case .adapters(let set?) = self, !activeSets.contains(set) {
            throw CrayonError(
                .usage, in: place, item: description, found: "no active set '\(set)'",
                expected: activeSets.isEmpty ? "an active set" : "one of \(activeSets.joined(separator: ", "))")
        }
        let roles = LearnablePart.roles(of: configuration, sets: sets, usesCrayon: true).filter(contains)
        guard !roles.isEmpty else {
            throw CrayonError(
                .usage, in: place, item: description, found: "no such weights in the model",
                expected: "a part that the model has")
        }
        return roles
    }

    /// The weights that several parts consist of.
    /// - Parameter options: say which sets are active.
    /// - Throws: `CrayonError` for a part that the model lacks.
    public static func roles(
        _ parts: [LearnablePart], of source: any ModelSource, options: VisionLanguageModel.Options
    ) throws(CrayonError) -> Set<Role> {
        let active = try VisionLanguageModel.activeSets(source.configuration, options, place: source.place).map(\.name)
        var roles: Set<Role> = []
        for part in parts {
            roles.formUnion(try part.roles(of: source.configuration, activeSets: active, in: source.place))
        }
        return roles
    }

    /// Whether the weight is one of the part, in a model that has it.
    public func contains(_ role: Role) -> Bool {
        switch self {
        case .crayon: role.part == .crayon
        case .projectors: role.part == .projectors
        case .projector(let projector): role.rawValue.hasPrefix("projectors.\(projector.rawValue).")
        case .adapters(nil): role.part == .adapters
        case .adapters(let set?): role.rawValue.hasPrefix("adapters.\(set).")
        }
    }

    /// All that a gradient can exist for.
    static func roles(of configuration: ModelConfiguration, sets: [String], usesCrayon: Bool) -> [Role] {
        let acting = Set(sets)
        let pairs = configuration.lowRankSets.filter { acting.contains($0.name) }.flatMap { set in
            (0..<configuration.backbone.layerCount).flatMap { layer in
                set.modules.flatMap { module in
                    LowRankFactor.allCases.map { Role.adapter(set.name, layer, module, $0) }
                }
            }
        }
        let own = Set(pairs)
        return configuration.parameters.lazy.map(\.role).filter { role in
            switch role.part {
            case .crayon: usesCrayon
            case .projectors: usesCrayon || role.rawValue.hasPrefix("projectors.image.")
            case .adapters: own.contains(role)
            default: false
            }
        }
    }
}

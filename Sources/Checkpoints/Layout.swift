public import Architecture
import Bytes
import JSON

/// How one family of checkpoints names its tensors and describes itself.
///
/// A layout is a value in a file of its own under `Layouts/`: a new family is a new file and a line in
/// `Layout.all`. See `Formats/layouts.md`.
public struct Layout: Sendable {
    /// As `--layout` and a bundle's configuration spell it.
    public let name: String
    /// What it is, for people.
    public let title: String
    public let content: Content
    /// Values of config.json's `model_type` that go with the layout; empty where names alone decide.
    let modelTypes: Set<String>
    /// Patterns of which each must match some tensor: what tells the layout from others.
    let signature: [NamePattern]
    let rules: [Rule]
    let ignored: [Ignored]
    let describe: @Sendable (LayoutContext) throws(CrayonError) -> PartDescription

    /// What a checkpoint of the layout holds.
    public enum Content: String, Sendable {
        /// Everything: backbone, vision tower, projectors and crayon queries.
        case model
        /// A text model.
        case backbone
        /// A vision tower.
        case vision
        /// Crayon queries and projectors.
        case crayon
    }

    /// Source name and role, with the same holes on both sides.
    struct Rule: Sendable {
        let source: NamePattern
        let role: NamePattern

        init(_ source: String, _ role: String) {
            self.source = NamePattern(source)
            self.role = NamePattern(role)
        }
    }

    /// Names that files carry and models do not need.
    struct Ignored: Sendable {
        /// A name that begins with it, …
        let prefix: String
        /// … and ends with it, is ignored.
        let suffix: String
        let reason: String

        init(prefix: String = "", suffix: String = "", _ reason: String) {
            self.prefix = prefix
            self.suffix = suffix
            self.reason = reason
        }
    }

    init(
        name: String, title: String, content: Content, modelTypes: Set<String> = [], signature: [String],
        rules: [Rule], ignored: [Ignored] = [],
        describe: @escaping @Sendable (LayoutContext) throws(CrayonError) -> PartDescription
    ) {
        self.name = name
        self.title = title
        self.content = content
        self.modelTypes = modelTypes
        self.signature = signature.map(NamePattern.init)
        self.rules = rules
        self.ignored = ignored
        self.describe = describe
    }

    /// The role of a source tensor; nil for a name that no rule knows.
    func role(of name: String) -> Role? {
        for rule in rules {
            if let captures = rule.source.match(name), let role = rule.role.expand(captures) { return Role(role) }
        }
        return nil
    }

    /// The name that a role has in files of the layout; nil for a role that they do not have.
    public func sourceName(of role: Role) -> String? {
        for rule in rules {
            if let captures = rule.role.match(role.rawValue), let name = rule.source.expand(captures) { return name }
        }
        return nil
    }

    /// The path that a module of the published CoLLaVO has in its backbone alone, under which an adapter trained on InternLM2
    /// knows it; nil for a module of any other kind. A linear layer with pairs beside it has its own weight in a module of
    /// its own, `Plora_main`.
    public static func plainModule(_ path: String) -> String? {
        let marker = ".Plora_main"
        return path.hasSuffix(marker) ? String(path.dropLast(marker.count)) : nil
    }

    func reasonToIgnore(_ name: String) -> String? {
        ignored.first { name.hasPrefix($0.prefix) && name.hasSuffix($0.suffix) }?.reason
    }
}

/// What a layout makes of one source: the parts of a `ModelConfiguration` that it holds.
struct PartDescription {
    var backbone: BackboneConfiguration?
    var vision: VisionConfiguration?
    /// Extents of the two crayon tables; the rest of their configuration comes from elsewhere.
    var crayonTables: CrayonTables?
    var lowRankSets: [LowRankSet] = []
    /// The template that goes with the layout where nothing else says so.
    var prompt: PromptTemplate?
    /// Whether pictures come with a crayon prompt, where there are pictures.
    var readsCrayon = true
    /// The token for a picture, where the layout's files say it.
    var imageToken: Int?
    /// Where the text model's special tokens are, if not in config.json itself.
    var textConfiguration: JSONReader?

    struct CrayonTables {
        var width: Int
        var semanticRows: Int
        var numberingRows: Int
    }
}

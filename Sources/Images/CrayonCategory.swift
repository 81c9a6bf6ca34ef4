/// A class of things or stuff that crayon prompts know.
///
/// A model's categories are a list; the class at position k has row k + 1 of the semantic table.
public struct CrayonCategory: Hashable, Sendable {
    /// The id that annotations use, such as COCO's.
    public let id: Int
    /// The name in annotations, such as `wall-other-merged`.
    public let name: String
    /// Things can be counted; stuff cannot.
    public let isThing: Bool

    public init(id: Int, name: String, isThing: Bool) {
        self.id = id
        self.name = name
        self.isThing = isThing
    }

    /// The name in prompts: without COCO's `-merged`, `-other` and `-stuff`.
    public var promptName: String {
        var name = name
        for suffix in ["-merged", "-other", "-stuff"] { name.replace(suffix, with: "") }
        return name
    }
}

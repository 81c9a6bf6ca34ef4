public import Images

/// What a crayon instruction asks.
public enum InstructionKind: String, CaseIterable, Codable, Sendable {
    /// All objects of the picture.
    case list
    /// The boxes of a named class.
    case box
    /// The class in a box.
    case `class`
    /// Whether a class is there.
    case presence

    /// The ways to ask. `{class}` stands for a class, `{a class}` for one with its article, `{box}` for a box. The first of
    /// `list` is the paper's.
    public var wordings: [String] {
        switch self {
        case .list:
            [
                "Provide multiple object names with their numbering index and the objects' bounding box coordinates "
                    + "in this image.",
                "List every object in this image with its number and bounding box.",
                "What objects are in this image, and where are they?",
            ]
        case .box:
            [
                "Provide the bounding box coordinates of {class} in this image.",
                "Where is the {class}?",
                "Give the bounding box of every {class} in this image.",
                "Find the {class} in this image.",
            ]
        case .class:
            [
                "What is in the box {box}?",
                "What is the object in the box {box}?",
                "Which object is in the box {box}?",
                "Name the object in the bounding box {box}.",
            ]
        case .presence:
            [
                "Is there {class} in this image?",
                "Is there {a class} in this image?",
                "Does this image contain {class}?",
                "Can you see {a class} in this image?",
            ]
        }
    }
}

/// The answers' words.
public enum InstructionAnswer {
    public static let yes = "Yes"
    public static let no = "No"

    public static func objects(_ objects: [CrayonObject]) -> String {
        "Sure, it is " + objects.map(\.text).joined(separator: ", ")
    }

    public static func absent(_ name: String) -> String { "There is no \(name) in this image." }
}

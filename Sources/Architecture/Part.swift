/// The parts of a CoLLaVO-style model that a user gives a format to, one by one.
public enum Part: String, CaseIterable, Codable, Sendable {
    /// The decoder blocks and the final norm.
    case backbone
    /// The token embedding table.
    case embeddings
    /// The output head, where it is not tied to the embeddings.
    case head
    /// The CLIP tower.
    case vision
    /// The image projector and the crayon projector.
    case projectors
    /// The crayon queries: semantic and numbering tables.
    case crayon
    /// All low-rank sets.
    case adapters
}

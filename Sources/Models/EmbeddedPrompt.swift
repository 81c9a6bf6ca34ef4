public import Tensors

/// A prompt as the backbone sees it: pictures spliced in where their placeholders stood.
public struct EmbeddedPrompt: Sendable {
    /// Input of the first block. `[tokens, hidden]`
    public let hidden: Matrix
    /// Where pictures stand, ascending.
    public let imageSpans: [Range<Int>]
    /// The crayon prompt at image positions, one after the other; nil where it is off or there is no picture.
    /// `[image tokens, hidden]`
    public let crayon: Matrix?

    public init(hidden: Matrix, imageSpans: [Range<Int>] = [], crayon: Matrix? = nil) {
        let imageTokens = imageSpans.reduce(0) { $0 + $1.count }
        precondition(imageSpans.allSatisfy { $0.lowerBound >= 0 && $0.upperBound <= hidden.rows })
        precondition(crayon.map { $0.rows == imageTokens && $0.columns == hidden.columns } ?? true)
        self.hidden = hidden
        self.imageSpans = imageSpans
        self.crayon = crayon
    }

    public var count: Int { hidden.rows }
}

/// What the backbone gets of one picture.
public struct ImageFeatures: Sendable {
    /// Projected patches. `[patches, hidden]`
    public let patches: Matrix
    /// `[patches, hidden]`; nil where the model has no crayon prompt or it is off.
    public let crayon: Matrix?
}

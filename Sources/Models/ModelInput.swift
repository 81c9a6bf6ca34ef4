/// One prompt: token ids with a placeholder for every picture, and the pictures in the order of their placeholders.
public struct ModelInput: Sendable, Equatable {
    /// Rows of the embedding table; `SpecialTokens.image` stands for a picture.
    public var tokens: [Int]
    public var images: [ImageInput]

    public init(tokens: [Int], images: [ImageInput] = []) {
        self.tokens = tokens
        self.images = images
    }
}

/// A picture made ready for the vision tower, and what is painted over it.
public struct ImageInput: Sendable, Equatable {
    public var width: Int
    public var height: Int
    /// Normalised. `[3, height, width]`
    public var pixels: [Float]
    /// Nil for a picture without a panoptic map: every cell is unknown then.
    public var crayon: CrayonGrid?

    /// - Precondition: `pixels` holds `3 * height * width` values.
    public init(width: Int, height: Int, pixels: [Float], crayon: CrayonGrid? = nil) {
        precondition(pixels.count == 3 * width * height)
        self.width = width
        self.height = height
        self.pixels = pixels
        self.crayon = crayon
    }
}

/// Rows of the two crayon tables for every patch of a picture.
public struct CrayonGrid: Sendable, Hashable {
    /// Cells a side.
    public var side: Int
    /// `[side, side]`
    public var semantic: [Int]
    /// `[side, side]`
    public var numbering: [Int]

    /// - Precondition: both hold `side * side` values.
    public init(side: Int, semantic: [Int], numbering: [Int]) {
        precondition(semantic.count == side * side && numbering.count == side * side)
        self.side = side
        self.semantic = semantic
        self.numbering = numbering
    }

    /// Row 0 of both tables everywhere.
    public static func unknown(side: Int) -> CrayonGrid {
        let zeros = [Int](repeating: 0, count: side * side)
        return CrayonGrid(side: side, semantic: zeros, numbering: zeros)
    }
}

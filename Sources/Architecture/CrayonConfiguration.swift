/// The crayon prompt: which classes it can paint, and how it enters the backbone.
public struct CrayonConfiguration: Codable, Equatable, Sendable {
    /// Width of both tables and of the crayon projector's input.
    public var width: Int
    /// Row 0 is "unknown"; row `k + 1` stands for `categories[k]`.
    public var semanticRows: Int
    /// Row 0 is "unknown"; row `n` stands for the n-th instance of its class.
    public var numberingRows: Int
    public var entry: Entry
    public var gridSampling: GridSampling
    /// The panoptic classes, in the order of the semantic table.
    public var categories: [PanopticCategory]

    /// How the crayon prompt enters the backbone.
    public enum Entry: String, Codable, Sendable {
        /// The paper: added to what enters the query, key and value projections at image positions.
        case additive
        /// The published code: through low-rank pairs whose input is the crayon prompt.
        case lowRank = "low-rank"
    }

    /// Which pixel of a panoptic map stands for a patch cell.
    ///
    /// The published code resizes Mask2Former's soft masks bilinearly, which looks at the cells' centres, and has no
    /// rule for maps; `centre` is the nearest to what it does.
    public enum GridSampling: String, Codable, Sendable {
        /// `floor(i * size / grid)`: nearest interpolation as PyTorch does it.
        case corner
        /// `floor((i + 0.5) * size / grid)`: nearest interpolation as Pillow does it, and the default: the published code resizes
        /// soft masks bilinearly, which looks at the cells' centres.
        case centre
    }

    public init(
        width: Int, semanticRows: Int, numberingRows: Int, entry: Entry, gridSampling: GridSampling = .centre,
        categories: [PanopticCategory]
    ) {
        self.width = width
        self.semanticRows = semanticRows
        self.numberingRows = numberingRows
        self.entry = entry
        self.gridSampling = gridSampling
        self.categories = categories
    }
}

/// A class of a COCO panoptic `categories` list.
public struct PanopticCategory: Codable, Equatable, Sendable {
    /// The id that annotations use; not contiguous.
    public var id: Int
    public var name: String
    public var isThing: Bool

    public init(id: Int, name: String, isThing: Bool) {
        self.id = id
        self.name = name
        self.isThing = isThing
    }
}

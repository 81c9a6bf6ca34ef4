public import Architecture
public import Bytes
public import Images
public import Models

/// A picture to ask about: what the vision tower sees, and the objects that a panoptic map names in it.
public struct Picture: Sendable, Equatable {
    public var input: ImageInput
    /// What a panoptic map says, objects included; nil where there was none.
    public var maps: CrayonMaps?
    /// What the user should know about the picture or its map, one sentence each.
    public var warnings: [String]

    public init(input: ImageInput, maps: CrayonMaps? = nil, warnings: [String] = []) {
        self.input = input
        self.maps = maps
        self.warnings = warnings
    }

    /// Makes a picture ready for a model.
    ///
    /// Without a panoptic map every cell is unknown, and `warnings` says so.
    /// - Parameters:
    ///   - size: pixels a side of the model's input.
    ///   - panoptic: which object each pixel belongs to.
    /// - Throws: `CrayonError` for a model that reads text only, and for a picture that cannot be scaled.
    public init(
        _ image: RGBImage, panoptic: PanopticMap? = nil, for configuration: ModelConfiguration
    ) throws(CrayonError) {
        try self.init(prepared: image, for: configuration)
        guard let crayon = configuration.crayon, let vision = configuration.vision else {
            if panoptic != nil { warnings.append("the model has no crayon queries: the panoptic map is not used") }
            return
        }
        guard let panoptic else {
            warnings.append("no panoptic map: the model is told that every part of the picture is unknown")
            return
        }
        if let mismatch = panoptic.mismatch(width: image.width, height: image.height) { warnings.append(mismatch) }
        let maps = CrayonMapping(crayon)(panoptic, side: vision.gridSize)
        warnings += maps.warnings
        self.maps = maps
        input.crayon = CrayonGrid(maps)
    }

    /// A picture whose panoptic map has become crayon rows already; nil where it has none.
    /// - Throws: `CrayonError` as above, and for rows of another grid than the model's.
    public init(
        _ image: RGBImage, maps: CrayonMaps?, for configuration: ModelConfiguration
    ) throws(CrayonError) {
        try self.init(prepared: image, for: configuration)
        guard configuration.crayon != nil, let vision = configuration.vision, let maps else { return }
        guard maps.side == vision.gridSize else {
            throw CrayonError(
                .mismatch, in: "picture", item: "crayon map", found: "\(maps.side) x \(maps.side) cells",
                expected: "\(vision.gridSize) x \(vision.gridSize)")
        }
        self.maps = maps
        input.crayon = CrayonGrid(maps)
    }

    private init(prepared image: RGBImage, for configuration: ModelConfiguration) throws(CrayonError) {
        guard let vision = configuration.vision else {
            throw CrayonError(
                .usage, in: "picture", found: "a model that reads text only", expected: "a model with a vision part")
        }
        let preparation = ImagePreparation(vision)
        try preparation.validate(in: "model")
        let pixels = try preparation(image)
        self.init(input: ImageInput(width: pixels.width, height: pixels.height, pixels: pixels.values))
    }

    /// The objects in words, as the published prompts have them before a question.
    public var objectSentence: String { (maps ?? .unknown(side: 1)).sentence }
}

extension CrayonGrid {
    init(_ maps: CrayonMaps) {
        self.init(side: maps.side, semantic: maps.semantic, numbering: maps.numbering)
    }
}

public import Architecture
public import Bytes
public import Images

/// What a model sees of a panoptic map: its classes, how many it can count, and the grid of its patches.
public struct CrayonView: Sendable, Equatable {
    public var mapping: CrayonMapping
    /// Cells a side.
    public var side: Int

    public init(mapping: CrayonMapping, side: Int) {
        self.mapping = mapping
        self.side = side
    }

    /// A model's own; nil for one without crayon queries.
    public init?(_ configuration: ModelConfiguration) {
        guard let crayon = configuration.crayon, let vision = configuration.vision else { return nil }
        self.init(mapping: CrayonMapping(crayon), side: vision.gridSize)
    }

    /// For looking at data without a model: the data's own categories, on CoLLaVO's grid of 35.
    public init(categories: [PanopticCategory], side: Int = 35) {
        self.init(mapping: CrayonMapping(categories: categories), side: side)
    }

    public var categories: [PanopticCategory] { mapping.categories }

    /// The crayon rows of a map, and the objects with the boxes around all of their pixels, as answers have them.
    ///
    /// Both number the same objects: a segment without a cell is not told of.
    /// - Throws: `CrayonError` for a map that cannot be read.
    public func objects(
        of panoptic: PanopticFile
    ) throws(CrayonError) -> (maps: CrayonMaps, objects: [CrayonObject]) {
        self(try panoptic.read())
    }

    /// The model's class of a segment; nil for one that it does not know.
    public func category(of segment: PanopticSegment) -> Int? { mapping.category(of: segment) }

    private func callAsFunction(_ map: PanopticMap) -> (maps: CrayonMaps, objects: [CrayonObject]) {
        let maps = mapping(map, side: side)
        guard mapping.boxes != .map else { return (maps, maps.objects) }
        var exact = mapping
        exact.boxes = .map
        return (maps, exact(map, side: side).objects)
    }

    /// What a map says of a picture.
    /// - Throws: `CrayonError` for a map that cannot be read.
    func picture(_ path: String, _ panoptic: PanopticFile) throws(CrayonError) -> ExamplePicture {
        ExamplePicture(path: path, maps: mapping(try panoptic.read(), side: side), panoptic: panoptic)
    }
}

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

    /// - Throws: `CrayonError` where the model knows no class of the data: it would be told of nothing.
    public func check(_ coco: COCOPanoptic) throws(CrayonError) {
        let known = Set(categories.map(\.name))
        guard !coco.categories.contains(where: { known.contains($0.name) }) else { return }
        func some(_ categories: [PanopticCategory]) -> String {
            categories.prefix(4).map(\.name).joined(separator: ", ") + (categories.count > 4 ? ", …" : "")
        }
        throw CrayonError(
            .mismatch, in: coco.name, item: "key 'categories'", found: some(coco.categories),
            expected: "some of the model's classes: \(some(categories))",
            advice: "Use data and a model of the same classes.")
    }

    /// A picture with the crayon rows of its map, and its objects with the boxes around all of their pixels, as answers have
    /// them.
    ///
    /// Rows and objects are numbered alike: a segment without a cell is not told of.
    /// - Throws: `CrayonError` for a map that cannot be read.
    public func picture(
        _ annotation: COCOAnnotation, at path: String? = nil
    ) throws(CrayonError) -> (picture: ExamplePicture, objects: [CrayonObject]) {
        let map = try annotation.panoptic.read()
        let maps = mapping(map, side: side)
        var exact = mapping
        exact.boxes = .map
        let picture = ExamplePicture(
            path: path ?? annotation.picture, maps: maps, mapSize: .init(width: map.width, height: map.height))
        return (picture, mapping.boxes == .map ? maps.objects : exact(map, side: side).objects)
    }

    /// The model's class of a segment; nil for one that it does not know.
    public func category(of segment: PanopticSegment) -> Int? { mapping.category(of: segment) }
}

public import Architecture

/// How a panoptic map becomes a crayon prompt's rows.
public struct CrayonMapping: Equatable, Sendable {
    /// Where the boxes of the object sentence come from.
    public enum BoxSource: String, CaseIterable, Sendable {
        /// The cells of the grid, as in the published code.
        case grid
        /// All pixels of the map.
        case map
    }

    /// Class k of these has row k + 1 of the semantic table.
    public var categories: [PanopticCategory]
    /// The highest number that an instance can have: the numbering table's rows less one.
    public var mostInstances: Int
    /// The published code has no rule of its own for maps: it resizes Mask2Former's soft masks bilinearly, which looks
    /// at the cells' centres, and takes the strongest. `centre` is the nearest to that.
    public var sampling: CrayonConfiguration.GridSampling
    public var boxes: BoxSource

    public init(
        categories: [PanopticCategory] = PanopticCategory.cocoPanoptic, mostInstances: Int = 20,
        sampling: CrayonConfiguration.GridSampling = .centre, boxes: BoxSource = .grid
    ) {
        self.categories = categories
        self.mostInstances = mostInstances
        self.sampling = sampling
        self.boxes = boxes
    }

    /// What a model's configuration asks for.
    public init(_ configuration: CrayonConfiguration, boxes: BoxSource = .grid) {
        self.init(
            categories: configuration.categories, mostInstances: configuration.numberingRows - 1,
            sampling: configuration.gridSampling, boxes: boxes)
    }

    /// The rows of both tables for each cell, and the objects to name.
    ///
    /// Segments that have a cell are walked in ascending order of id, and the n-th of a class gets number n, 0 if that
    /// is over `mostInstances`. A crowd is many instances, so it gets its class but number 0, and is not named as an
    /// object. A category that is not among `categories` gets row 0. Where the annotation's file names its categories,
    /// the name decides, else the id.
    ///
    /// - Precondition: `side` is positive.
    public func callAsFunction(_ map: PanopticMap, side: Int) -> CrayonMaps {
        precondition(side > 0)
        var maps = CrayonMaps.unknown(side: side)
        let cells = sampledIDs(map, side: side)
        let boxes: [UInt32: CrayonBox] =
            switch boxes {
            case .grid: CrayonBox.all(of: cells, width: side, height: side)
            case .map: CrayonBox.all(of: map.ids, width: map.width, height: map.height)
            }
        let present = Set(cells)
        var counts: [Int: Int] = [:]
        var rows: [UInt32: (semantic: Int, numbering: Int)] = [:]
        for segment in map.segments where present.contains(segment.id) {
            guard let index = category(of: segment) else {
                maps.warnings.append(unknownCategory(segment))
                rows[segment.id] = (0, 0)
                continue
            }
            guard !segment.isCrowd else {
                rows[segment.id] = (index + 1, 0)
                continue
            }
            let number = counts[index, default: 0] + 1
            counts[index] = number
            rows[segment.id] = (index + 1, number <= mostInstances ? number : 0)
            if let box = boxes[segment.id] {
                maps.objects.append(CrayonObject(name: categories[index].promptName, number: number, box: box))
            }
        }
        for (cell, id) in cells.enumerated() {
            guard let row = rows[id] else { continue }
            maps.semantic[cell] = row.semantic
            maps.numbering[cell] = row.numbering
        }
        maps.warnings += disagreements(map, present: present, counts: counts)
        return maps
    }

    /// `[side, side]`
    private func sampledIDs(_ map: PanopticMap, side: Int) -> [UInt32] {
        let rows = (0..<side).map { source($0, of: map.height, side: side) }
        let columns = (0..<side).map { source($0, of: map.width, side: side) }
        return rows.flatMap { row in columns.map { map.ids[row * map.width + $0] } }
    }

    private func source(_ index: Int, of size: Int, side: Int) -> Int {
        switch sampling {
        case .centre: (2 * index + 1) * size / (2 * side)
        case .corner: min(Int(Float(index) * (Float(size) / Float(side))), size - 1)
        }
    }

    /// Where a segment's category stands among `categories`; nil for one that is not there.
    public func category(of segment: PanopticSegment) -> Int? {
        if let name = segment.categoryName { return categories.firstIndex { $0.name == name } }
        return categories.firstIndex { $0.id == segment.categoryID }
    }

    private func unknownCategory(_ segment: PanopticSegment) -> String {
        let name = segment.categoryName.map { " (\($0))" } ?? ""
        return "segment \(segment.id) has category \(segment.categoryID)\(name), which the model does not know: "
            + "it is drawn as unknown"
    }

    private func disagreements(_ map: PanopticMap, present: Set<UInt32>, counts: [Int: Int]) -> [String] {
        var warnings: [String] = []
        let known = Set(map.segments.map(\.id))
        // Pixel by pixel is slow: neighbours mostly have the same id.
        var drawn: Set<UInt32> = []
        var last: UInt32?
        for id in map.ids where id != last {
            drawn.insert(id)
            last = id
        }
        let unnamed = drawn.subtracting(known).subtracting([0]).sorted()
        if let first = unnamed.first {
            warnings.append(
                "\(unnamed.count) ids of the panoptic map have no segment, such as \(first): they are drawn as unknown")
        }
        for segment in map.segments where !present.contains(segment.id) {
            warnings.append(
                drawn.contains(segment.id)
                    ? "segment \(segment.id) is too small for the grid and is left out"
                    : "segment \(segment.id) has no pixel in the panoptic map and is left out")
        }
        for (index, count) in counts.sorted(by: { $0.key < $1.key }) where count > mostInstances {
            warnings.append(
                "\(count) segments are \(categories[index].promptName): those after the first \(mostInstances) have no number"
            )
        }
        return warnings
    }
}

/// The rows of the crayon tables for one picture, and the objects to name in the prompt.
public struct CrayonMaps: Equatable, Sendable {
    /// Cells a side.
    public let side: Int
    /// Rows of the semantic table, `[side, side]`: 0 unknown, k + 1 class k.
    public internal(set) var semantic: [Int]
    /// Rows of the numbering table, `[side, side]`: 0 unknown, n the n-th of its class.
    public internal(set) var numbering: [Int]
    public internal(set) var objects: [CrayonObject] = []
    /// What was odd about the map, one sentence each.
    public internal(set) var warnings: [String] = []

    /// For a picture without a panoptic map.
    public static func unknown(side: Int) -> CrayonMaps {
        CrayonMaps(
            side: side, semantic: Array(repeating: 0, count: side * side),
            numbering: Array(repeating: 0, count: side * side))
    }
}

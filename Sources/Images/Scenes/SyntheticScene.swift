public import Architecture
import Tensors

/// A drawn picture whose every pixel's object is known: coloured shapes on sky, water, sand or grass.
///
/// What the sample model has learned to see; enough of them train and measure a small model without a download. All lies
/// on a grid of 14-pixel cells, so that boxes of two decimals are exact. A seed gives the same scene everywhere.
public struct SyntheticScene: Sendable {
    public let image: RGBImage
    /// Segment ids rise in reading order.
    public let map: PanopticMap

    /// Pixels a side, and pixels a side of a cell.
    public static let size = 112
    static let cell = 14
    static let grid = size / cell

    /// Draws until every segment is seen where a cell's centre is, and is not hidden by more than half.
    public init(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var layout = Layout(&random)
        while !layout.isClear { layout = Layout(&random) }
        let order = layout.readingOrder
        var id = UInt32(1 + random.index(below: 120_000))
        var ids: [UInt32] = []
        for _ in order {
            ids.append(id)
            id += UInt32(1 + random.index(below: 90_000))
        }
        var rank = [Int](repeating: 0, count: order.count)
        for (place, entry) in order.enumerated() { rank[entry] = place }
        let segments = order.enumerated().map { place, entry in
            PanopticSegment(id: ids[place], categoryID: Self.categories[layout.classes[entry]].id)
        }
        map = PanopticMap(
            width: Self.size, height: Self.size, ids: layout.owners.map { ids[rank[$0]] }, segments: segments)
        image = Self.paint(layout, &random)
    }

    /// Whether the scene's arrangement is one of the sixteenth that is kept for measuring: a hash of which class stands in
    /// which cell decides, so that no layout is on both sides.
    public var isHeldOut: Bool {
        let categories = Dictionary(uniqueKeysWithValues: map.segments.map { ($0.id, $0.categoryID) })
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for row in 0..<Self.grid {
            for column in 0..<Self.grid {
                let pixel = (row * Self.cell + Self.cell / 2) * Self.size + column * Self.cell + Self.cell / 2
                hash = (hash ^ UInt64(categories[map.ids[pixel]] ?? 0)) &* 0x100_0000_01B3
            }
        }
        return (hash >> 32) % 16 == 0
    }

    /// The classes, with ids that have holes as COCO's have.
    public static let categories: [PanopticCategory] = {
        let ids = [1, 2, 3, 4, 6, 8, 11, 13, 16, 17, 21, 25]
        let names = Shape.allCases.flatMap { shape in Colour.allCases.map { "\($0.rawValue) \(shape.rawValue)" } }
        let things = zip(ids, names).map { PanopticCategory(id: $0, name: $1, isThing: true) }
        let grounds = Ground.allCases.map { PanopticCategory(id: $0.id, name: $0.name, isThing: false) }
        return things + grounds
    }()

    enum Colour: String, CaseIterable {
        case red, green, blue, yellow

        var rgb: (Int, Int, Int) {
            switch self {
            case .red: (205, 45, 40)
            case .green: (30, 165, 70)
            case .blue: (40, 65, 205)
            case .yellow: (240, 215, 45)
            }
        }
    }

    enum Shape: String, CaseIterable {
        case circle, square, cross

        /// Whether a pixel belongs to the shape in a box of `side` pixels; every shape reaches all four sides.
        func covers(x: Int, y: Int, side: Int) -> Bool {
            let across = abs(Double(x) + 0.5 - Double(side) / 2)
            let down = abs(Double(y) + 0.5 - Double(side) / 2)
            switch self {
            case .circle: return across * across + down * down < Double(side * side) / 4
            case .square: return true
            case .cross: return min(across, down) < 0.3 * Double(side)
            }
        }
    }

    enum Ground: CaseIterable {
        case sand, water, sky, grass

        var id: Int {
            switch self {
            case .sand: 154
            case .water: 178
            case .sky: 187
            case .grass: 193
            }
        }

        var name: String {
            switch self {
            case .sand: "sand"
            case .water: "water-other"
            case .sky: "sky-other-merged"
            case .grass: "grass-merged"
            }
        }

        var rgb: (Int, Int, Int) {
            switch self {
            case .sand: (215, 190, 140)
            case .water: (75, 140, 150)
            case .sky: (165, 205, 240)
            case .grass: (110, 135, 60)
            }
        }

        /// What is added to a pixel's channels: waves, a fading sky, blades of grass, grains.
        func texture(x: Int, y: Int, grain: Double) -> Double {
            switch self {
            case .sand: grain < 0.12 ? -40 : 0
            case .water: 22 * SyntheticScene.sine(Double(y) / 2.1)
            case .sky: 30 * (Double(y) / Double(SyntheticScene.size) - 0.5)
            case .grass: SyntheticScene.sine(Double(x) * 1.3) > 0 ? 22 : -22
            }
        }
    }
}

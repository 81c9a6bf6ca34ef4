import Architecture
import Foundation
import Tensors

extension SyntheticScene {
    /// Which entry owns each pixel: grounds first, then shapes in painting order.
    struct Layout {
        /// `[size, size]`
        var owners = [Int](repeating: 0, count: size * size)
        /// Class of each entry.
        var classes: [Int] = []
        private var groundCount = 0
        /// Pixels that each shape was painted with.
        private var painted: [Int] = []

        init(_ random: inout SplitMix64) {
            let ground = Shape.allCases.count * Colour.allCases.count
            func index(_ kind: Ground) -> Int { ground + (Ground.allCases.firstIndex(of: kind) ?? 0) }
            if random.uniform() < 0.15 {
                classes = [ground + random.index(below: Ground.allCases.count)]
            } else {
                let top: Ground = [.sky, .sky, .water][random.index(below: 3)]
                let rest = [Ground.sand, .water, .grass].filter { $0 != top }
                classes = [index(top), index(rest[random.index(below: rest.count)])]
                for pixel in cell * (2 + random.index(below: 5)) * size..<size * size { owners[pixel] = 1 }
            }
            groundCount = classes.count
            for _ in 0..<random.index(weights: [0.14, 0.24, 0.28, 0.2, 0.14]) + 1 { paintShape(&random) }
        }

        private mutating func paintShape(_ random: inout SplitMix64) {
            let shapes = Shape.allCases.count * Colour.allCases.count
            let before = classes[groundCount...]
            // The same thing again, now and then: numbering is for that.
            let again = !before.isEmpty && random.uniform() < 0.35
            let kind =
                again ? before[before.startIndex + random.index(below: before.count)] : random.index(below: shapes)
            let side = cell * (random.index(weights: [0.2, 0.4, 0.3, 0.1]) + 1)
            let shape = Shape.allCases[kind / Colour.allCases.count]
            for attempt in 0..<12 {
                let left = cell * random.index(below: (size - side) / cell + 1)
                let top = cell * random.index(below: (size - side) / cell + 1)
                let isFree = (top..<top + side).allSatisfy { y in
                    (left..<left + side).allSatisfy { owners[y * size + $0] < groundCount }
                }
                guard isFree || (attempt > 6 && random.uniform() < 0.3) else { continue }
                var count = 0
                for y in 0..<side {
                    for x in 0..<side where shape.covers(x: x, y: y, side: side) {
                        owners[(top + y) * size + left + x] = classes.count
                        count += 1
                    }
                }
                classes.append(kind)
                painted.append(count)
                return
            }
        }

        func box(of entry: Int) -> (left: Int, top: Int, right: Int, bottom: Int) {
            var (left, top, right, bottom) = (size, size, 0, 0)
            for (pixel, owner) in owners.enumerated() where owner == entry {
                (left, right) = (min(left, pixel % size), max(right, pixel % size + 1))
                (top, bottom) = (min(top, pixel / size), max(bottom, pixel / size + 1))
            }
            return (left, top, right, bottom)
        }

        /// Entries in the order of the first cell whose centre they own.
        var readingOrder: [Int] {
            var order: [Int] = []
            for row in 0..<grid {
                for column in 0..<grid {
                    let owner = owners[(row * cell + cell / 2) * size + column * cell + cell / 2]
                    if !order.contains(owner) { order.append(owner) }
                }
            }
            return order
        }

        /// Whether all is there to be seen, in boxes that lie on the grid and differ.
        var isClear: Bool {
            guard !painted.isEmpty, readingOrder.count == classes.count else { return false }
            var visible = [Int](repeating: 0, count: classes.count)
            for owner in owners { visible[owner] += 1 }
            for (shape, count) in painted.enumerated()
            where Double(visible[groundCount + shape]) < 0.55 * Double(count) { return false }
            let boxes = classes.indices.map { entry in
                let box = box(of: entry)
                return [box.left, box.top, box.right, box.bottom]
            }
            return boxes.allSatisfy { $0.allSatisfy { $0 % cell == 0 } } && Set(boxes).count == boxes.count
        }
    }

    static func sine(_ x: Double) -> Double { sin(x) }

    static func paint(_ layout: Layout, _ random: inout SplitMix64) -> RGBImage {
        let shapes = Shape.allCases.count * Colour.allCases.count
        let tints = layout.classes.map { kind in
            let base =
                kind < shapes
                ? Colour.allCases[kind % Colour.allCases.count].rgb : Ground.allCases[kind - shapes].rgb
            return [base.0, base.1, base.2].map { Double($0 + random.index(below: 37) - 18) }
        }
        let light = Double(random.index(below: 31) - 15)
        var pixels = [UInt8](repeating: 0, count: size * size * 3)
        for (pixel, owner) in layout.owners.enumerated() {
            let kind = layout.classes[owner]
            let grain = random.uniform()
            var texture = light
            if kind >= shapes {
                texture += Ground.allCases[kind - shapes].texture(x: pixel % size, y: pixel / size, grain: grain)
            }
            for channel in 0..<3 {
                // Three draws add up to noise that is near enough to normal, with a deviation of 9.
                let noise = (random.uniform() + random.uniform() + random.uniform() - 1.5) * 18
                let value = (tints[owner][channel] + texture + noise).rounded()
                pixels[pixel * 3 + channel] = UInt8(min(max(value, 0), 255))
            }
        }
        return RGBImage(width: size, height: size, pixels: pixels)
    }
}

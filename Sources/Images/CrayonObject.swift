import Foundation

/// An object to name in a prompt.
public struct CrayonObject: Equatable, Sendable {
    public let name: String
    /// 1 for the first of its class.
    public let number: Int
    public let box: CrayonBox

    /// As prompts and answers write it: `(#1 horse) [0.06, 0.38, 0.27, 0.91]`.
    public var text: String { "(#\(number) \(name)) \(box.text)" }
}

/// A box in parts of the picture's sides.
public struct CrayonBox: Equatable, Sendable {
    public var x0: Float
    public var y0: Float
    public var x1: Float
    public var y1: Float

    public init(x0: Float, y0: Float, x1: Float, y1: Float) {
        self.x0 = x0
        self.y0 = y0
        self.x1 = x1
        self.y1 = y1
    }

    /// Two decimals each: `[0.06, 0.38, 0.27, 0.91]`.
    public var text: String {
        "[" + [x0, y0, x1, y1].map { String(format: "%.2f", Double($0)) }.joined(separator: ", ") + "]"
    }

    /// The box around each id, from the first cell's near edge to the last one's far edge. Multiplied with the
    /// reciprocals in float32, as the published code scales its boxes.
    static func all(of ids: [UInt32], width: Int, height: Int) -> [UInt32: CrayonBox] {
        struct Extent {
            var left: Int
            var top: Int
            var right: Int
            var bottom: Int
        }
        var extents: [UInt32: Extent] = [:]
        for y in 0..<height {
            var x = 0
            while x < width {
                // By runs, for one look-up each.
                let id = ids[y * width + x]
                let start = x
                while x < width, ids[y * width + x] == id { x += 1 }
                guard id != 0 else { continue }
                var extent = extents[id] ?? Extent(left: start, top: y, right: x, bottom: y + 1)
                extent.left = min(extent.left, start)
                extent.right = max(extent.right, x)
                extent.bottom = y + 1
                extents[id] = extent
            }
        }
        let (scaleX, scaleY) = (Float(1 / Double(width)), Float(1 / Double(height)))
        return extents.mapValues {
            CrayonBox(
                x0: Float($0.left) * scaleX, y0: Float($0.top) * scaleY, x1: Float($0.right) * scaleX,
                y1: Float($0.bottom) * scaleY)
        }
    }
}

extension CrayonMaps {
    /// What the published prompts put before a question.
    public var sentence: String {
        guard !objects.isEmpty else { return "None of detailed object information for image." }
        return "The image includes \(objects.map(\.text).joined(separator: ", "))."
    }
}
